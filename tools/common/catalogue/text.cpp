#include "common/catalogue/text.h"

#include <algorithm>
#include <cmath>

#include "common/command/command.h"
#include "common/descent/outlook.h"

namespace basin::tools {
namespace {

// |H g| / (|H| |g|) up to this: |grad f|^2 falls no more.
constexpr double kMinimumOfSlope = 1e-6;

/// The layer whose attention shows a limit at infinity, of networks that are not the single layer: of those
/// that fade, if there is a history.
const LayerSaturation* faintest(const StartRecord& r) {
  const KernelKind kernel = r.valley == Valley::vanished ? KernelKind::gaussian : KernelKind::softmax;
  const LayerSaturation* least = nullptr;
  for (std::size_t l = 0; l < r.attention.size(); ++l) {
    const LayerSaturation& layer = r.attention[l];
    const bool fades = r.origin == Origin::given || r.attention_before[l].left > layer.left;
    if (layer.kernel == kernel && fades && !(least && least->left <= layer.left)) least = &layer;
  }
  return least;
}

std::string valley_text(const StartRecord& r) {
  const auto change = [&](double before, double now) {
    return (r.origin == Origin::given ? "" : number(before, 3) + " -> ") + number(now, 3);
  };
  const auto place = [](double head, double sample, double token) {
    return " (head " + number(head) + ", sample " + number(sample) + ", token " + number(token) +
           ", counted from 0)";
  };
  const LayerSaturation* layer = faintest(r);
  const LayerSaturation* before = layer ? &r.attention_before[layer - r.attention.data()] : nullptr;
  switch (r.valley) {
    case Valley::saturated:
      if (layer)
        return "attention of " + layer->layer + " saturates: a row" +
               place(layer->head, layer->sample, layer->token) + " leaves " +
               change(before->left, layer->left) + " of its weight to all tokens but one";
      return "attention saturates: range of the logits of a row" +
             place(r.sharpest_head, r.sharpest_sample, r.sharpest_token) + " " +
             change(r.before.range, r.saturation.range);
    case Valley::vanished:
      if (layer)
        return "attention of " + layer->layer + " vanishes: the weights of a row" +
               place(layer->head, layer->sample, layer->token) + " add up to " +
               change(before->left, layer->left);
      return "a row of attention vanishes" + place(r.weakest_head, r.weakest_sample, r.weakest_token) +
             ": its sum " + change(r.before.smallest_sum, r.saturation.smallest_sum);
    case Valley::exploding:
      return "the weights grow: |theta| " + change(r.norm_before, r.norm);
    case Valley::separated:
      return "every row is in its class, by a margin of " + with_error(r.margin, r.margin_error) +
             " or more: as the last layer grows the loss falls strictly to 0, its infimum";
    default:
      return "";
  }
}

/// "; attention of blocks.1 is saturated: ...", of the layer where most rows are; empty where the valley says
/// it.
std::string sharp_text(const StartRecord& r) {
  if (r.valley == Valley::saturated || r.valley == Valley::vanished) return "";
  const auto most =
      std::max_element(r.attention.begin(), r.attention.end(),
                       [](const LayerSaturation& a, const LayerSaturation& b) {  // NaN where nothing counts
                         return b.saturated > (std::isnan(a.saturated) ? -1 : a.saturated);
                       });
  const std::string text = most == r.attention.end() ? "" : attention_text(*most);
  return text.empty() ? "" : "; " + text;
}

/// ", gap 0.5 to the global minimum", or how far above the lowest loss that was found.
std::string gap_text(const StartRecord& r, const Catalogue& catalogue) {
  const double above = r.loss - catalogue.lowest;
  if (!(above > r.loss_error) || r.kind == PointKind::zero_loss) return "";
  return catalogue.lowest_known ? ", gap " + number(above, 5) + " to the global minimum"
                                : ", " + number(above, 5) + " above the lowest loss found";
}

/// Why a valley of labels that contradict each other is a global one.
std::string bound_text(const StartRecord& r, const Catalogue& catalogue) {
  return catalogue.bound > 0 ? ", within " + number(std::max(0.0, r.loss - catalogue.bound), 2) +
                                   " of the least that these labels allow"
                             : "";
}

/// The eigenvalues that were counted, and how many were not.
std::string counts_text(const StartRecord& r) {
  const std::string negative = number(r.negative) + " negative",
                    zero = number(r.zero - r.undecided) + " zero",
                    undecided = r.undecided > 0 ? number(r.undecided) + " undecided" : "",
                    rest = " eigenvalues modulo " + number(r.removed) + " modes of symmetry";
  if (r.counted_from() == CountsFrom::outputs)
    return negative + ", at least " + zero + " and at most " + number(r.uncounted) + " positive" + rest;
  if (r.uncounted > 0)
    return "at least " + negative + ", " + zero + (undecided.empty() ? "" : ", " + undecided) + " and " +
           number(r.positive) + " positive" + rest + ", " + number(r.uncounted) + " not counted";
  return negative + ", " + zero + (undecided.empty() ? "" : ", " + undecided) + " and " + number(r.positive) +
         " positive" + rest;
}

std::string smallest_text(const StartRecord& r) {
  if (std::isnan(r.smallest_eigenvalue)) return "none of which is left";
  return "smallest eigenvalue " + with_error(r.smallest_eigenvalue, r.smallest_eigenvalue_bound) +
         (r.counted_from() == CountsFrom::balanced ? ", signs with every weight in its own unit" : "");
}

/// |grad f|, how well it is known, and how far the stationary point that is meant is.
std::string slope_text(const StartRecord& r) {
  const std::string slope =
      "|grad f| = " + number(r.gradient_norm, 3) + " (rounding " + number(r.gradient_rounding, 2) + ")";
  if (r.counted_from() == CountsFrom::none) return slope + ", too large for a stationary point near by";
  return slope + ", Newton step " + number(r.norm > 0 ? r.newton_step / r.norm : r.newton_step, 2) +
         (r.norm > 0 && r.newton_step > 0 ? " |theta|" : "");
}

/// The index of a saddle.
std::string index_text(const StartRecord& r) {
  return (r.undecided + r.uncounted > 0 ? "at least " : "") + number(r.negative);
}

std::string residual_text(const StartRecord& r) {
  return "|r| = " + number(r.residual_norm, 2) + " (rounding " + number(r.residual_rounding, 2) + ")";
}

std::string describe_point(const StartRecord& r, Verdict verdict, const Catalogue& catalogue,
                           const std::string& minimum_source) {
  const std::string loss = "f = " + number(r.loss, 7), slope = slope_text(r), gap = gap_text(r, catalogue);
  switch (verdict) {
    case Verdict::global_minimum:
      if (r.kind == PointKind::zero_loss)
        return "global minimum: f = 0 to rounding, " + residual_text(r) + "; " + slope + ", " +
               counts_text(r);
      return "global minimum: " + loss + ", " + minimum_source + "; " + slope + ", " + counts_text(r) + ", " +
             smallest_text(r);
    case Verdict::best_minimum:
      return "strict local minimum modulo symmetry, the lowest that is known: " + loss + "; " + slope + ", " +
             counts_text(r) + ", " + smallest_text(r) + "; whether it is global is not known";
    case Verdict::suboptimal_minimum:
      return "suboptimal strict local minimum modulo symmetry: " + loss + gap + "; " + slope + ", " +
             counts_text(r) + ", " + smallest_text(r);
    case Verdict::saddle:
      return "saddle of index " + index_text(r) + ": " + loss + gap + "; " + slope + ", " + counts_text(r) +
             ", " + smallest_text(r) + (r.valley != Valley::none ? "; " + valley_text(r) : "");
    case Verdict::degenerate:
      if (r.residual_norm <= r.residual_rounding)
        return "degenerate, not decided in double precision: " + loss + ", " + residual_text(r) +
               ", which hides the targets";
      return std::string(r.uncounted > 0 ? "not decided by the eigenvalues that were counted: "
                                         : "degenerate, not decided by second order: ") +
             loss + gap + "; " + slope + ", " + counts_text(r) + ", " + smallest_text(r);
    case Verdict::global_valley:
      return "valley to the global infimum: " + loss + bound_text(r, catalogue) + "; " + valley_text(r) +
             "; " + slope;
    case Verdict::valley:
      return "valley to infinity: " + loss + gap + "; " + valley_text(r) + "; " + slope + ", " +
             counts_text(r);
    case Verdict::not_stationary:
      if (r.gradient_known == 0)
        return "not decided in double precision: " + loss + "; " + slope + ", at random points near by " +
               number(r.gradient_scale, 2) + "; at |theta| = " + number(r.norm, 3) +
               " rounding hides whether it is stationary";
      return "not stationary: " + loss + ", " + slope +
             (r.origin != Origin::any               ? ""
              : r.gradient_slope <= kMinimumOfSlope ? "; a minimum of |grad f|^2"
                                                    : "; unfinished");
    default:
      return "not finite: the descent stepped to where the loss overflows" +
             (r.safe_step > 0 ? "; with --step " + number(r.safe_step, 4) + " the loss falls" : "");
  }
}

}  // namespace

std::string place_of(const StartRecord& r, const CatalogueData& data) {
  if (r.source < 0) return "a given point";
  return data.sources[static_cast<std::size_t>(r.source)] + (r.row < 0 ? "" : ":" + number(r.row));
}

std::string brief(const StartRecord& r, Verdict verdict, const Catalogue& catalogue) {
  std::string text = name_of(verdict);
  if (verdict == Verdict::saddle) text += " of index " + index_text(r);
  if (verdict == Verdict::not_finite) return text;
  if (r.kind == PointKind::zero_loss) return text + ", f = 0, " + residual_text(r);
  text += ", f = " + number(r.loss, 10);
  if (const double above = r.loss - catalogue.lowest; above > r.loss_error)
    text += catalogue.lowest_known ? " (gap " + number(above, 4) + ")"
                                   : " (" + number(above, 4) + " above the lowest)";
  if (verdict == Verdict::global_valley) text += bound_text(r, catalogue);
  if (verdict == Verdict::valley || verdict == Verdict::global_valley)
    return text + ": " + valley_text(r) + ", " + slope_text(r) + sharp_text(r);
  if (r.valley != Valley::none) text += " (" + valley_text(r) + ")";
  text += ", " + slope_text(r);
  if (verdict == Verdict::not_stationary) return text + sharp_text(r);
  text += ", " + smallest_text(r);
  if (const double zero = r.zero - r.undecided; zero > 0)
    text += ", " + number(zero) + (zero == 1 ? " zero mode" : " zero modes") + " beyond symmetry";
  if (r.undecided > 0) text += ", " + number(r.undecided) + " undecided";
  if (r.uncounted > 0) text += ", " + number(r.uncounted) + " not counted";
  return text + sharp_text(r);
}

std::string describe(const StartRecord& r, Verdict verdict, const Catalogue& catalogue,
                     const std::string& minimum_source) {
  const bool said = verdict == Verdict::valley || verdict == Verdict::global_valley ||
                    verdict == Verdict::saddle || r.valley == Valley::none ||
                    r.origin != Origin::given;  // of a given point its rows are named, whatever it is
  return describe_point(r, verdict, catalogue, minimum_source) + (said ? "" : "; " + valley_text(r)) +
         sharp_text(r);
}

std::string escape_text(std::size_t entry, const StartRecord& saddle, const FollowedEscape& followed) {
  return "entry " + std::to_string(entry) + " left: f = " + number(saddle.loss, 10) + " -> " +
         number(followed.loss, 10) + " by a step of " + number(std::abs(saddle.escape_step), 4) +
         " along the curvature " + number(saddle.smallest_eigenvalue, 4) +
         "; descent from there ends at f = " +
         (followed.end.kind == PointKind::zero_loss
              ? "0"
              : number(followed.end.loss, 10) + ": " + name_of(followed.end.kind));
}

}  // namespace basin::tools
