#include "basin/stationary/valley.h"

#include <algorithm>
#include <cmath>

namespace basin {
namespace {

// Attention below this, relative to its row or in a row's sum, is a sign of a limit at infinity: what is left
// of gradient and curvature there is at the square root of rounding.
constexpr double kSaturated = 1e-8;
constexpr double kRounding = 1e-16;  // below this the limit is reached to rounding
constexpr double kGrowth = 1.0;      // of the logarithm of attention, between then and now
constexpr double kFlat = 1e-3;       // share of the loss that the gradient promises over a distance |theta|
constexpr double kGrowing = 1.05;    // of |theta| over the last part of a run
constexpr double kStalled = 1e-3;    // share of the loss that the last part of a run gained

/// Attention that fades; attention that was as faint before is no way to infinity. Of a point without a
/// history: that is faint.
bool fades(double now, double before, bool with_history) {
  return now <= kSaturated && (!with_history || (before > now && before >= std::exp(kGrowth) * now));
}

/// Whether a row fades of what softmax leaves beside the heaviest token, or of Gaussian weights.
bool fades(const Extent& now, const Extent* before, KernelKind kernel) {
  for (std::size_t l = 0; l < now.layers.size(); ++l)
    if (now.layers[l].kernel == kernel &&
        fading_row(now.layers[l], before ? &before->layers[l] : nullptr) >= 0)
      return true;
  return false;
}

/// Whether some attention leaves less than it did.
bool is_fainter(const Extent& now, const Extent& before) {
  if (now.saturation.smallest_sum < before.saturation.smallest_sum ||
      now.saturation.range > before.saturation.range)
    return true;
  for (std::size_t l = 0; l < now.layers.size(); ++l)
    if ((now.layers[l].rows.array() <= kSaturated &&
         now.layers[l].rows.array() < before.layers[l].rows.array())
            .any())
      return true;
  return false;
}

/// What attention that was at rounding then was at the start.
double earlier(double start, double then) {
  return then <= kRounding ? std::max(start, then) : then;
}

}  // namespace

Extent extent_of(const NetworkTheory& theory, const ModelPoint<double>& point) {
  return extent_of(theory, point, theory.signature(point));
}

Extent extent_of(const NetworkTheory& theory, const ModelPoint<double>& point,
                 const PointSignature& function) {
  const bool single = function.saturation().known(),
             moves = !single || attention_layers(*point.model).front().moves;
  return {point.theta(), moves ? function.saturation() : Saturation::unknown(),
          theory.layer_saturation(point)};
}

Extent history(const Extent& start, Extent then) {
  if (std::exp(-then.saturation.range) <= kRounding)
    then.saturation.range = std::min(start.saturation.range, then.saturation.range);
  then.saturation.smallest_sum = earlier(start.saturation.smallest_sum, then.saturation.smallest_sum);
  for (std::size_t l = 0; l < then.layers.size(); ++l)
    for (Index row = 0; row < then.layers[l].rows.size(); ++row)
      then.layers[l].rows[row] = earlier(start.layers[l].rows[row], then.layers[l].rows[row]);
  return then;
}

Index fading_row(const LayerSaturation& now, const LayerSaturation* before) {
  Index least = -1;
  for (Index row = 0; row < now.rows.size(); ++row)
    if (fades(now.rows[row], before ? before->rows[row] : 0, before != nullptr) &&
        (least < 0 || now.rows[row] < now.rows[least]))
      least = row;
  return least;
}

void show_what_fades(Extent& before, Extent& now) {
  for (std::size_t l = 0; l < now.layers.size(); ++l) {
    const Index row = fading_row(now.layers[l], &before.layers[l]);
    if (row < 0) continue;
    now.layers[l].show(row);
    before.layers[l].show(row);
  }
}

Growth growth_between(const Vector<double>& before, const Vector<double>& now, const Symmetries& symmetries) {
  const double from = before.stableNorm(), to = now.stableNorm();
  Vectors<double> along(now.size(), 1);
  symmetries.project(now - before, along);
  const double added = to > 0 ? now.dot(along.col(0)) / to : 0;
  return {std::clamp(from + added, std::min(from, to), std::max(from, to)), to};
}

Valley valley_of(const NetworkTheory& theory, const ModelPoint<double>& point, const Extent& now,
                 const Extent* before) {
  const Saturation &s = now.saturation, &then = before ? before->saturation : s;
  const bool history = before != nullptr;
  if (fades(s.smallest_sum, then.smallest_sum, history) || fades(now, before, KernelKind::gaussian))
    return Valley::vanished;
  if (fades(std::exp(-s.range), std::exp(-then.range), history) || fades(now, before, KernelKind::softmax))
    return Valley::saturated;
  if (!history || !(now.theta.stableNorm() > kExplosion * before->theta.stableNorm())) return Valley::none;
  return growth_between(before->theta, now.theta, theory.symmetries(point)).factor() > kExplosion
             ? Valley::exploding
             : Valley::none;
}

bool is_faint(const Extent& extent) {
  return extent.saturation.smallest_sum <= kSaturated || std::exp(-extent.saturation.range) <= kSaturated ||
         std::any_of(extent.layers.begin(), extent.layers.end(),
                     [](const LayerSaturation& l) { return l.left <= kSaturated; });
}

bool is_flat(double loss, double gradient, double norm) {
  return gradient * norm <= kFlat * loss;
}

Outlook outlook_of(const NetworkTheory& theory, const ModelPoint<double>& point, const Vector<double>& start,
                   const Iterate& before, const Iterate& now, double least) {
  Outlook o;
  o.loss_before = before.loss, o.loss = now.loss;
  o.gradient_before = before.gradient.stableNorm(), o.gradient = now.gradient.stableNorm();
  o.norm_before = before.theta.stableNorm(), o.growth.now = now.theta.stableNorm();
  const double left = now.loss - least;
  if (!(left > 0) || before.loss - now.loss > kStalled * left || !is_flat(left, o.gradient, o.growth.now))
    return o;
  const ModelPoint<double> here = point.at(now.theta);
  const Symmetries symmetries = theory.symmetries(here);
  o.left_out = symmetries.left_out();
  o.growth = growth_between(before.theta, now.theta, symmetries);
  o.extent = extent_of(theory, here);
  o.before = extent_of(theory, point.at(before.theta));
  const Extent since = history(extent_of(theory, point.at(start)), o.before);
  o.valley = valley_of(theory, here, o.extent, &since);
  // attention that was as faint before fades no more: where nothing moves is no way to infinity
  if (o.valley != Valley::exploding && !is_fainter(o.extent, o.before) && o.growth.factor() <= kGrowing)
    o.valley = Valley::none;
  if (o.valley == Valley::none && o.growth.factor() > kGrowing) o.valley = Valley::exploding;
  show_what_fades(o.before, o.extent);
  o.along_symmetries = o.valley == Valley::none && o.growth.now > kGrowing * o.norm_before;
  return o;
}

}  // namespace basin
