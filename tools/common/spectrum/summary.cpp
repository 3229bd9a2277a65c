#include "common/spectrum/summary.h"

#include <algorithm>
#include <cmath>

namespace basin::tools {
namespace {

/// How large the magnitude of one end may be relative to the other: a number whose digits hold, or a bound.
std::string ratio_text(const SpectrumEnd& a, const SpectrumEnd& b) {
  const double value = std::abs(a.value), of = std::abs(b.value);
  if (!a.found || !b.found) return "about " + number(value / of, 2);
  const double least = std::max(0.0, value - a.error) / (of + b.error);
  const double most = of > b.error ? (value + a.error) / (of - b.error) : HUGE_VAL;
  for (const int digits : {2, 1})
    if (number(least, digits) == number(most, digits)) return number(most, digits);
  return std::isfinite(most) ? "at most " + number_above(most, 2) : "an unknown share";
}

/// Six digits alone where they hold, as good as rounded; else with the error.
std::string short_text(double value, double error) {
  const double unit = std::pow(10.0, std::floor(std::log10(std::abs(value))) - 5);
  return error <= 0.05 * unit ? number(value, 6) : with_error(value, error);
}

std::string short_text(const SpectrumEnd& e) {
  return e.found ? short_text(e.value, e.error) : "about " + number(e.value, 3);
}

std::string end_text(const SpectrumEnd& e) {
  return with_error(e.value, e.error) + (e.converged ? "" : " (not converged)");
}

/// "is 0.28 of the largest, 551.175"
std::string relative_text(const SpectrumResults& r, const std::string& largest) {
  if (r.largest.value <= r.largest.error) return "and no eigenvalue is clearly positive";
  return "is " + ratio_text(r.smallest, r.largest) + " of the " + largest + ", " + short_text(r.largest);
}

std::string at_least(bool exact) {
  return exact ? "" : "at least ";
}

/// Why counts decide no sign.
std::string undecided_text(const EigenvalueCounts& c) {
  return "the last digits of the point change the matrix by " + number(c.rounding, 2) +
         ", as next to a kink of ReLU";
}

/// Where two counts are known, what the other one says of negative eigenvalues.
std::string other_counts(const SpectrumResults& r) {
  for (const EigenvalueCounts& c : r.counts) {
    if (c.removed == r.removed) continue;
    if (c.removed == c.size) return " (all " + std::to_string(c.size) + " directions are symmetries)";
    const std::string where = c.removed > 0 ? "modulo symmetries " : "of the whole matrix ";
    if (!c.decided(r.norm())) return " (" + where + "not decided: " + undecided_text(c) + ")";
    if (c.negative == 0 && c.negative_exact) return " (" + where + "there is none)";
    return " (" + where + at_least(c.negative_exact) + std::to_string(c.negative) + " of " +
           std::to_string(c.size - c.removed) + " directions" +
           (c.negative_within > 0
                ? ", " + std::to_string(c.negative_within) + " of which rest on the choice of the complement"
                : "") +
           ")";
  }
  return "";
}

/// What is known of the smallest eigenvalue, where it is not clearly negative.
std::string not_negative(const SpectrumResults& r, const EigenvalueCounts* counts) {
  const std::string matrix = ends_title(r);
  const SpectrumEnd& e = r.smallest;
  const EigenResult* found = r.find("spectrum");
  if (found == nullptr || found->removed != r.removed) found = r.find("smallest");
  const bool all = found != nullptr && found->removed == r.removed && found->dense;
  const std::string value = "the smallest eigenvalue" + std::string(all ? "" : " found") + ", " +
                            end_text(e) + ", " + relative_text(r, "largest");
  if (std::abs(e.value) <= e.error && std::abs(r.largest.value) <= r.largest.error) {
    const bool none = counts != nullptr && counts->exact() && counts->zero == counts->size - counts->removed;
    return "the " + matrix + " is zero in double precision: every eigenvalue " +
           std::string(e.found || none ? "" : "seen ") + "is within " +
           number_above(
               none ? counts->tolerance
                    : std::max(std::abs(e.value) + e.error, std::abs(r.largest.value) + r.largest.error),
               2) +
           " of 0";
  }
  if (counts != nullptr && !counts->decided(r.norm()))
    return "signs of the " + matrix + " are not decided: " + undecided_text(*counts);
  if (counts != nullptr && counts->exact()) {
    const std::string text = counts->zero == 0
                                 ? "the " + matrix + " is positive definite"
                                 : "no negative curvature beyond the tolerance in the " + matrix;
    return text + (e.found ? ": " + value : "") + other_counts(r);
  }
  if (semidefinite(r)) return "no negative curvature in the " + matrix + ": it is " + r.gauss_newton;
  if (!e.found) {
    std::string text = "no negative curvature seen in the " + matrix;
    if (r.quadrature && r.quadrature->removed == r.removed) {
      const double x = zero_threshold(*r.quadrature);
      text += ": up to " + percent(share_below(r, -x).upper) + " of its eigenvalues (95 %) may be below " +
              number(-x, 3);
    } else {
      text += ", but not excluded: --smallest 1 or --counts decides";
    }
    return text;
  }
  if (!e.converged) return "no negative curvature found in the " + matrix + ", but not converged: " + value;
  if (e.value <= e.error)
    return "no negative curvature beyond the error bound in the " + matrix + ": " + value;
  return (all ? "the " + matrix + " is positive definite: "
              : "no negative curvature found in the " + matrix + ": ") +
         value;
}

std::string kind_text(bool estimated) {
  return estimated ? " (estimated, with 95 % intervals)" : "";
}

std::string mass_text(const SpectrumResults& r, double x) {
  const Mass m = share_below(r, x);
  return percent(m.value) + " of the eigenvalues are below " + number(x, 3) + " (95 %: " + percent(m.lower) +
         " to " + percent(m.upper) + "; noise " + percent(m.noise) + ", quadrature " + percent(m.truncation) +
         ")";
}

std::string signed_text(const Eigenvalue& e) {
  return with_error(e.value, e.error_bound) + (e.converged ? "" : " (not converged)");
}

std::string counts_text(const EigenvalueCounts& c) {
  std::string text = std::to_string(c.size);
  if (c.removed > 0)
    text += " = " + std::to_string(c.removed) + " symmetry modes + " + at_least(c.zero_exact) +
            std::to_string(c.zero) + " further zero + ";
  else
    text += " = " + at_least(c.zero_exact) + std::to_string(c.zero) + " zero + ";
  return text + at_least(c.negative_exact) + std::to_string(c.negative) + " negative + " +
         (c.exact() ? "" : "at most ") + std::to_string(c.positive) +
         " positive (zero: |lambda| <= " + number_above(c.tolerance, 2) + ", " + c.tolerance_reason + ")";
}

/// Which of the signs depend on the directions that symmetries are held against; empty where none does.
std::string within_text(const EigenvalueCounts& c) {
  if (c.reach <= c.tolerance) return "";
  const std::string reach = "|A Z|, about " + number(c.reach, 2) +
                            ", A the matrix, Z the symmetry directions, which are no null vectors here";
  if (c.negative_within + c.positive_within == 0 && c.within_exact)
    return "no sign rests on the choice of the complement: all are beyond " + reach;
  return at_least(c.within_exact) + std::to_string(c.negative_within) + " of the negative and " +
         at_least(c.within_exact) + std::to_string(c.positive_within) +
         " of the positive ones are no larger than " + reach +
         ": their signs rest on the choice of the complement, the orthogonal one";
}

void say_spectrum(Command& command, const SpectrumResults& r, const EigenResult& all) {
  Index negative = 0, zero = 0;
  for (const Eigenvalue& e : all.eigenvalues) {
    negative += e.value < -e.error_bound ? 1 : 0;
    zero += std::abs(e.value) <= e.error_bound ? 1 : 0;
  }
  const auto total = static_cast<Index>(all.eigenvalues.size());
  command.say(
      matrix_title(r, all.removed) + ": " + std::to_string(negative) + " negative, " + std::to_string(zero) +
      " not distinguishable from zero (|lambda| <= " + number_above(all.eigenvalues.front().error_bound, 2) +
      "), " + std::to_string(total - negative - zero) + " positive, " + std::to_string(total) + " in all");
}

void say_norms(Command& command, const SpectrumResults& r) {
  constexpr std::size_t kMostInLine = 8;
  const BlockNorms& b = *r.norms;
  const bool all = b.blocks.size() <= kMostInLine;
  command.say("Frobenius norms of the " + std::string(all ? "" : "diagonal ") + "blocks of the " +
              matrix_title(r, 0) + kind_text(b.estimated) +
              (all ? ":" : " (those between two blocks are in the file):"));
  for (std::size_t i = 0; i < b.blocks.size(); ++i) {
    std::string line = "  " + b.blocks[i].name + ":";
    for (std::size_t j = all ? 0 : i; j <= i; ++j) {
      const auto row = static_cast<Index>(i), column = static_cast<Index>(j);
      line += (all ? "  " + b.blocks[j].name : "") + " " +
              short_text(b.norms(row, column), b.errors(row, column));
    }
    command.say(line);
  }
}

}  // namespace

std::string stationarity_text(const Stationarity& p, double curvature, bool negative) {
  constexpr double kUseless = 1e-3;  // an allowance of such a share of what there may be says nothing
  const std::string slope =
      "|grad f| = " + number(p.gradient, 4) + " (rounding " + number_above(p.gradient_error, 2) + ")";
  if (p.attainable && p.residual <= p.residual_error) {
    if (p.targets > 0 && p.residual_error > kUseless * p.targets)
      return "whether the point is stationary is not known: rounding hides the targets";
    return "f = 0 to rounding, so the point is a global minimum";
  }
  // How long gradients are here, or as far away as the weights are large.
  const double scale = std::max(p.largest_gradient, curvature * p.theta);
  if (p.gradient <= p.gradient_error && scale <= p.gradient_error)
    return "gradient and curvature are zero in double precision, " + slope;
  if (p.gradient <= p.gradient_error)
    return p.gradient_error > kUseless * scale
               ? "whether the point is stationary is not known: " + slope
               : "the point is stationary to rounding, " + slope + (negative ? ": it is no minimum" : "");
  return "the point is not stationary, " + slope + " is about " + number(p.gradient / p.largest_gradient, 2) +
         " of |J| |" + (p.quadratic ? "F - Y" : "r") + "|, the most it can be" +
         (negative ? ": negative curvature here says nothing of a saddle nearby" : "");
}

std::string curvature_verdict(const SpectrumResults& r, const Stationarity* point) {
  constexpr double kSlight = 1e-3;
  const std::string matrix = ends_title(r);
  const EigenvalueCounts* counts = r.find_counts(r.removed);
  if (counts != nullptr && counts->removed == counts->size)
    return "no curvature in the " + matrix + ": all " + std::to_string(counts->size) +
           " directions are symmetries";
  const SpectrumEnd& steepest = r.smallest;
  const bool seen = steepest.value < -steepest.error, counted = counts != nullptr && counts->negative > 0;
  const bool negative = !semidefinite(r) && (seen || counted);
  std::string text;
  if (!negative) {
    text = not_negative(r, counts);
  } else {
    const bool slight = steepest.found && -steepest.value < kSlight * r.largest.value;
    text = std::string(slight ? "slight " : "") + "negative curvature in the " + matrix;
    if (counted)
      text += ", " + at_least(counts->negative_exact) + std::to_string(counts->negative) + " of " +
              std::to_string(counts->size - counts->removed) + " directions";
    if (steepest.found)
      text += ": the steepest" + std::string(steepest.converged ? "" : " found") + ", " + end_text(steepest) +
              ", " + relative_text(r, "largest eigenvalue");
    else if (seen)
      text += ": an eigenvalue is " + number_above(steepest.value + steepest.error, 4) + " or below, which " +
              relative_text(r, "largest");
    text += other_counts(r);
  }
  const double curvature = std::max(std::abs(r.smallest.value), std::abs(r.largest.value));
  return point == nullptr ? text : text + "; " + stationarity_text(*point, curvature, negative);
}

void say_results(Command& command, const SpectrumResults& r) {
  std::vector<std::string> said;  // what backs the results, each sentence once
  const auto say_once = [&](const std::string& sentence) {
    if (sentence.empty() || std::find(said.begin(), said.end(), sentence) != said.end()) return;
    said.push_back(sentence);
    command.say("  " + sentence);
  };
  for (const auto& [which, result] : r.eigenvalues) {
    if (which == "spectrum") {
      say_spectrum(command, r, result);
    } else {
      command.say(which + " eigenvalues of the " + matrix_title(r, result.removed) + " (" +
                  std::to_string(result.products) +
                  (result.shared ? " products for both ends):" : " products):"));
      for (const Eigenvalue& e : result.eigenvalues) command.say("  " + signed_text(e));
    }
    say_once(result.completeness);
  }
  for (const EigenvalueCounts& counts : r.counts) {
    command.say("signs of the " + matrix_title(r, counts) + ": " + counts_text(counts));
    say_once(counts.completeness);
    say_once(within_text(counts));
  }
  if (r.quadrature) {
    const LanczosQuadrature& q = *r.quadrature;
    const double x = zero_threshold(q), resolved = resolved_threshold(q);
    command.say("density of the " + matrix_title(r, q.removed) + " (" + std::to_string(q.products) +
                " products): " +
                (semidefinite(r) ? "no eigenvalue of " + r.gauss_newton + " is below 0" : mass_text(r, -x)));
    if (share_below(r, -x).truncation > 0.005 && resolved > 2 * x)
      command.say("  " + mass_text(r, -resolved));
  }
  if (r.traces)
    command.say("trace of the " + matrix_title(r, 0) + " " +
                short_text(r.traces->trace.value, r.traces->trace.error) + ", Frobenius norm " +
                short_text(r.traces->frobenius.value, r.traces->frobenius.error) +
                kind_text(r.traces->estimated));
  if (r.norms) say_norms(command, r);
}

std::string text(const Symmetries& symmetries) {
  std::string text = std::to_string(symmetries.modes()) + " symmetry modes";
  std::string separator = ": ";
  for (const auto& [name, dimension] : symmetries.table()) {
    text += separator + name + " " + std::to_string(dimension);
    separator = ", ";
  }
  return text + (symmetries.left_out().empty() ? "" : "; left out: " + symmetries.left_out());
}

std::string text(const std::vector<PseudoSymmetry>& pseudo) {
  if (pseudo.empty()) return "";
  std::string text = std::to_string(pseudo.size()) +
                     (pseudo.size() == 1 ? " pseudo-symmetry" : " pseudo-symmetries") +
                     ", broken by the epsilon of norms alone, not set aside (t, |t| = 1): ";
  for (const PseudoSymmetry& p : pseudo)
    text += (&p == &pseudo.front() ? "" : ", ") + p.name + " (t^T G t = " + number(p.gauss_newton, 2) +
            ", t^T H t = " + number(p.curvature, 2) + ")";
  return text + "; at a stationary point an eigenvalue that small says nothing of the landscape";
}

std::string text(const BalancedPoint& balanced, double length) {
  std::string text = "signs modulo symmetries are of the Hessian at the ";
  const bool moved = balanced.distance > 0 || balanced.folded > 0;
  if (moved)
    text += "balanced point, the same function on the data, " + number(balanced.distance / length, 2) +
            " |theta| away";
  else
    text += balanced.kept.empty() ? "point itself, which is balanced" : "point itself";
  if (balanced.kept.empty()) return text + (moved ? ": all equivalent points have the same" : "");
  for (std::size_t k = 0; k < balanced.kept.size(); ++k)
    text += (k == 0 ? "; left as they are: " : "; ") + balanced.kept[k];
  return text + "; equivalent points that differ in these may have other signs";
}

}  // namespace basin::tools
