#include "basin/stationary/rounding.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <string>

#include "basin/linalg/random.h"
#include "basin/model/perturbation.h"

namespace basin {
namespace {

/// For each weight, the size that rounding is relative to: the largest of its block, as sums of products are
/// rounded relative to their largest terms, or of its group.
Vector<double> sizes(const ModelPoint<double>& point) {
  std::map<std::string, double> largest;  // of blocks by name, of groups with a blank before theirs
  const auto key = [](const ParameterBlock& b) { return b.group.empty() ? b.name : " " + b.group; };
  for (const auto& [block, offset, theta_offset] : point.parameters().entries()) {
    double& most = largest[key(block)];
    most = std::max(most, point.weights.segment(offset, block.size()).cwiseAbs().maxCoeff());
  }
  Vector<double> sizes(point.weights.size());
  for (const auto& [block, offset, theta_offset] : point.parameters().entries())
    sizes.segment(offset, block.size()).setConstant(largest[key(block)]);
  return sizes;
}

}  // namespace

Rounding rounding_at(const Linearization<double>& at, const NetworkTheory& theory) {
  const ModelPoint<double>& point = at.point();
  const std::uint64_t count = std::max<std::uint64_t>(3, perturbations(at.output_size() * at.theta_size()));
  constexpr double kAllowance = 4, kFewDigits = 16;
  const Vector<double> size = sizes(point);
  Rounding most;
  most.entries = Vector<double>::Zero(at.theta_size());
  for (std::uint64_t k = 0; k < count; ++k) {
    ModelPoint<double> other = point.perturbed(k);
    Random random(k, "rounding");
    for (Index i = 0; i < size.size(); ++i)
      other.weights[i] = point.weights[i] + (random.uniform() < 0.5 ? -kEps : kEps) * size[i];
    const Linearization<double> there(std::move(other), {.keep = false});
    most.loss = std::max(most.loss, std::abs(there.loss() - at.loss()));
    most.residual = std::max(most.residual, at.residual_distance(there));
    const Vector<double> moved_by = (there.gradient() - at.gradient()).cwiseAbs();
    most.gradient = std::max(most.gradient, moved_by.stableNorm());
    most.entries = most.entries.cwiseMax(moved_by);
  }
  // A residual whose square underflows is none to f.
  if (at.loss() == 0) most.residual = std::max(most.residual, at.residual_norm());
  const double underflow = theory.product_underflow(at);
  // Perturbed points may agree by chance in the few digits of a sum.
  return {std::max(kAllowance * most.loss, kFewDigits * kEps * at.loss()),
          kAllowance * most.residual + underflow, kAllowance * most.gradient + underflow,
          kAllowance * most.entries};
}

}  // namespace basin
