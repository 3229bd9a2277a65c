#include "basin/stationary/rounding.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "basin/curvature/underflow.h"
#include "basin/linalg/random.h"
#include "basin/model/attention_view.h"
#include "basin/model/perturbation.h"

namespace basin {
namespace {

/// For each weight, the size that rounding is relative to: the largest of its block, as sums of products are
/// rounded relative to their largest terms; for the Gaussian kernel of queries and keys together, as they are
/// subtracted from each other.
Vector<double> sizes(const ModelPoint<double>& point) {
  Vector<double> sizes(point.weights.size());
  const auto part = [](auto& of, const ParameterLayout::Entry& e) {
    return of.segment(e.offset, e.block.size());
  };
  for (const ParameterLayout::Entry& e : point.parameters().entries())
    part(sizes, e).setConstant(part(point.weights, e).cwiseAbs().maxCoeff());
  const AttentionView view(point, "the rounding of its numbers");
  if (!view.softmax()) {
    auto queries = part(sizes, view.entry(kQ)), keys = part(sizes, view.entry(kK));
    const double both = std::max(queries[0], keys[0]);
    queries.setConstant(both);
    keys.setConstant(both);
  }
  return sizes;
}

}  // namespace

Rounding rounding_at(const Linearization<double>& at) {
  const ModelPoint<double>& point = at.point();
  const Matrix<double> residual = at.residual();
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
    const Linearization<double> there(std::move(other), {.memory = 0});
    most.loss = std::max(most.loss, std::abs(there.loss() - at.loss()));
    most.residual = std::max(most.residual, (there.residual() - residual).stableNorm());
    const Vector<double> moved_by = (there.gradient() - at.gradient()).cwiseAbs();
    most.gradient = std::max(most.gradient, moved_by.stableNorm());
    most.entries = most.entries.cwiseMax(moved_by);
  }
  // A residual whose square underflows is none to f.
  if (at.loss() == 0) most.residual = std::max(most.residual, residual.stableNorm());
  const double underflow = product_underflow(point);
  // Perturbed points may agree by chance in the few digits of a sum.
  return {std::max(kAllowance * most.loss, kFewDigits * kEps * at.loss()),
          kAllowance * most.residual + underflow, kAllowance * most.gradient + underflow,
          kAllowance * most.entries};
}

}  // namespace basin
