#include "stationary/rounding.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "curvature/underflow.h"
#include "linalg/random.h"
#include "model/linearization.h"
#include "model/twin.h"

namespace basin {
namespace {

/// For each weight, the size that rounding is relative to: the largest of its block, as sums of products are
/// rounded relative to their largest terms; for the Gaussian kernel of queries and keys together, as they are
/// subtracted from each other.
Vector<double> sizes(const AttentionSpec& spec, const ParameterLayout& layout,
                     const Vector<double>& weights) {
  Vector<double> sizes(weights.size());
  const auto part = [&](auto& of, std::size_t b) {
    const ParameterLayout::Entry& e = layout.entries()[b];
    return of.segment(e.offset, e.block.size());
  };
  for (std::size_t b = 0; b < layout.entries().size(); ++b)
    part(sizes, b).setConstant(part(weights, b).cwiseAbs().maxCoeff());
  if (spec.kernel == KernelKind::gaussian) {
    const double both = std::max(part(sizes, 0)[0], part(sizes, 1)[0]);
    part(sizes, 0).setConstant(both);
    part(sizes, 1).setConstant(both);
  }
  return sizes;
}

}  // namespace

Rounding rounding_at(const AttentionSpec& spec, const std::shared_ptr<const Model<double>>& model,
                     const Vector<double>& weights, const Data<double>& data, double loss,
                     const Matrix<double>& outputs, const Vector<double>& gradient) {
  const std::uint64_t twins = std::max<std::uint64_t>(3, rounding_twins(outputs.size() * gradient.size()));
  constexpr double kAllowance = 4, kFewDigits = 16;
  const Vector<double> size = sizes(spec, model->parameters(), weights);
  Rounding most;
  most.entries = Vector<double>::Zero(gradient.size());
  for (std::uint64_t k = 0; k < twins; ++k) {
    Twin twin = make_twin(weights, data, k);
    const auto moved = twin.data;
    Random random(k, "rounding");
    for (Index i = 0; i < weights.size(); ++i)
      twin.weights[i] = weights[i] + (random.uniform() < 0.5 ? -kEps : kEps) * size[i];
    const Linearization<double> there(model, std::move(twin.weights), moved, {.memory = 0});
    most.loss = std::max(most.loss, std::abs(there.loss() - loss));
    most.residual = std::max(most.residual, (there.outputs() - moved->Y - (outputs - data.Y)).stableNorm());
    const Vector<double> moved_by = (there.gradient() - gradient).cwiseAbs();
    most.gradient = std::max(most.gradient, moved_by.stableNorm());
    most.entries = most.entries.cwiseMax(moved_by);
  }
  // A residual whose square underflows is none to f.
  if (loss == 0) most.residual = std::max(most.residual, (outputs - data.Y).stableNorm());
  const double underflow = product_underflow(spec, model->parameters(), weights, data);
  // Twins may agree by chance in the few digits of a sum.
  return {std::max(kAllowance * most.loss, kFewDigits * kEps * loss), kAllowance * most.residual + underflow,
          kAllowance * most.gradient + underflow, kAllowance * most.entries};
}

}  // namespace basin
