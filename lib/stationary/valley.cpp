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

/// Attention that fades, in the single layer and in layer l of another network.
bool fades(double now, double before, bool with_history) {
  return now <= kRounding || (now <= kSaturated && (!with_history || std::log(before / now) >= kGrowth));
}

/// What rows of softmax leave beside the heaviest token, or Gaussian ones in all.
bool fades(const Extent& now, const Extent* before, KernelKind kernel) {
  for (std::size_t l = 0; l < now.layers.size(); ++l)
    if (now.layers[l].kernel == kernel &&
        fades(now.layers[l].left, before ? before->layers[l].left : 0, before != nullptr))
      return true;
  return false;
}

/// Whether some attention leaves less than it did.
bool is_fainter(const Extent& now, const Extent& before) {
  if (now.saturation.smallest_sum < before.saturation.smallest_sum ||
      now.saturation.range > before.saturation.range)
    return true;
  for (std::size_t l = 0; l < now.layers.size(); ++l)
    if (now.layers[l].left < before.layers[l].left) return true;
  return false;
}

}  // namespace

Extent extent_of(const NetworkTheory& theory, const ModelPoint<double>& point) {
  return {point.theta(), theory.signature(point).saturation(), theory.layer_saturation(point)};
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

Outlook outlook_of(const NetworkTheory& theory, const ModelPoint<double>& point, const Iterate& before,
                   const Iterate& now, double least) {
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
  o.valley = valley_of(theory, here, o.extent, &o.before);
  // attention that was as faint before fades no more: where nothing moves is no way to infinity
  if (o.valley != Valley::exploding && !is_fainter(o.extent, o.before) && o.growth.factor() <= kGrowing)
    o.valley = Valley::none;
  if (o.valley == Valley::none && o.growth.factor() > kGrowing) o.valley = Valley::exploding;
  o.along_symmetries = o.valley == Valley::none && o.growth.now > kGrowing * o.norm_before;
  return o;
}

}  // namespace basin
