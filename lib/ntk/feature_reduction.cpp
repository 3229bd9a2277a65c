#include "ntk/feature_reduction.h"

#include <cmath>

#include "linalg/dense.h"

namespace basin {

FeatureReduction::FeatureReduction(const Matrix<double>& X) {
  if (X.cols() <= X.rows()) return;
  basis_ = orthonormal_columns(X.transpose());
  rounding_scale_ = std::sqrt(static_cast<double>(X.cols()) / static_cast<double>(X.rows()));
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
        basis_.transpose() *
        Eigen::Map<const Matrix<double>>(point.weights.data() + p * D * s.head_dim, D, s.head_dim);
  const Index outputs = s.heads * s.head_dim * s.outputs;
  out.weights.tail(outputs) = point.weights.tail(outputs);
  auto data = std::make_shared<Data<double>>();
  *data = {point.data->samples, point.data->X * basis_, point.data->Y};
  out.data = std::move(data);
  return out;
}

}  // namespace basin
