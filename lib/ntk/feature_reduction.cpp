#include "ntk/feature_reduction.h"

#include <cmath>
#include <limits>

#include "linalg/dense.h"

namespace basin {
namespace {

using ConstMap = Eigen::Map<const Matrix<double>>;

/// W_Q, W_K or W_V of a head, D x d: number 0 .. 3 H - 1.
ConstMap projection(const AttentionPoint& at, Index number) {
  const Index D = at.spec.embedding, d = at.spec.head_dim;
  return {at.weights.data() + number * D * d, D, d};
}

/// Whether queries, keys and values are the same to a few units of the rounding that X W has itself.
bool same_projections(const AttentionPoint& point, const AttentionPoint& reduced) {
  constexpr double kUnits = 8 * std::numeric_limits<double>::epsilon();
  const Matrix<double> size = point.data->X.cwiseAbs();
  for (Index p = 0; p < 3 * point.spec.heads; ++p) {
    const Matrix<double> distance =
        point.data->X * projection(point, p) - reduced.data->X * projection(reduced, p);
    const Matrix<double> rounding = kUnits * (size * projection(point, p).cwiseAbs());
    if (!(distance.array().abs() <= rounding.array()).all()) return false;
  }
  return true;
}

}  // namespace

FeatureReduction::FeatureReduction(const AttentionPoint& point) {
  const Matrix<double>& X = point.data->X;
  if (X.cols() <= X.rows()) return;
  basis_ = orthonormal_columns(X.transpose());
  rounding_scale_ = std::sqrt(static_cast<double>(X.cols()) / static_cast<double>(X.rows()));
  if (!same_projections(point, apply(point))) basis_.resize(0, 0), rounding_scale_ = 1;
}

AttentionPoint FeatureReduction::apply(const AttentionPoint& point) const {
  if (!useful()) return point;
  const AttentionSpec& s = point.spec;
  const Index D = s.embedding, reduced = basis_.cols(), projections = 3 * s.heads;
  AttentionPoint out = {s, Vector<double>(point.weights.size() - projections * (D - reduced) * s.head_dim),
                        nullptr};
  out.spec.embedding = reduced;
  for (Index p = 0; p < projections; ++p)
    Eigen::Map<Matrix<double>>(out.weights.data() + p * reduced * s.head_dim, reduced, s.head_dim).noalias() =
        basis_.transpose() * projection(point, p);
  const Index outputs = s.heads * s.head_dim * s.outputs;
  out.weights.tail(outputs) = point.weights.tail(outputs);
  auto data = std::make_shared<Data<double>>();
  *data = {point.data->samples, point.data->X * basis_, point.data->Y};
  out.data = std::move(data);
  return out;
}

}  // namespace basin
