#include "basin/single_layer/feature_reduction.h"

#include <cmath>
#include <limits>

#include "basin/linalg/dense.h"

namespace basin {
namespace {

constexpr AttentionBlock kProjections[] = {kQ, kK, kV};

/// Whether queries, keys and values are the same to a few units of the rounding that X W has itself.
bool same_projections(const AttentionView& at, const AttentionView& reduced) {
  constexpr double kUnits = 8 * std::numeric_limits<double>::epsilon();
  const Matrix<double> size = at.data().X.cwiseAbs();
  for (const AttentionBlock b : kProjections)
    for (Index h = 0; h < at.spec().heads; ++h) {
      const Matrix<double> distance = at.data().X * at.block(b, h) - reduced.data().X * reduced.block(b, h);
      const Matrix<double> rounding = kUnits * (size * at.block(b, h).cwiseAbs());
      if (!(distance.array().abs() <= rounding.array()).all()) return false;
    }
  return true;
}

}  // namespace

FeatureReduction::FeatureReduction(const ModelPoint<double>& point) {
  const AttentionView view(point, "the reduction of features");
  const Matrix<double>& X = point.data->X;
  if (X.cols() <= X.rows()) return;
  basis_ = orthonormal_columns(X.transpose());
  rounding_scale_ = std::sqrt(static_cast<double>(X.cols()) / static_cast<double>(X.rows()));
  const ModelPoint<double> reduced = apply(point);
  if (!same_projections(view, AttentionView(reduced))) basis_.resize(0, 0), rounding_scale_ = 1;
}

ModelPoint<double> FeatureReduction::apply(const ModelPoint<double>& point) const {
  if (!useful()) return point;
  const AttentionView view(point);
  AttentionSpec spec = view.spec();
  spec.embedding = basis_.cols();
  const auto model = build_single_attention<double>(spec, point.parameters().trained());
  ModelPoint<double> out = {model, Vector<double>(model->parameters().weight_count()),
                            std::make_shared<Data<double>>(
                                Data<double>{view.data().samples, view.data().X * basis_, view.data().Y})};
  const auto to = AttentionView(out).of_weights(out.weights);
  for (Index h = 0; h < spec.heads; ++h) {
    for (const AttentionBlock b : kProjections) to(b, 0, h).noalias() = basis_.transpose() * view.block(b, h);
    to(kO, 0, h) = view.W_O(h);
  }
  return out;
}

}  // namespace basin
