#include "basin/single_layer/flat_direction.h"

#include "basin/single_layer/attention_view.h"
#include "basin/single_layer/data_features.h"

namespace basin {

Vector<double> flat_direction(const ModelPoint<double>& point, Random& random) {
  const AttentionView at(point, "a direction of symmetry");
  Vector<double> direction = Vector<double>::Zero(point.theta_size());
  const auto head = [moving = at.of_theta(direction)](AttentionBlock b, Index h) { return moving(b, 0, h); };
  const Index d = at.spec().head_dim, half = d / 2, heads = at.spec().heads;
  const auto pair = [&](AttentionBlock a, AttentionBlock b, bool left) {
    if (half == 0 || !at.trains(a) || !at.trains(b)) return;
    for (Index h = 0; h < heads; ++h) {
      Matrix<double> Z(half, d - half), M = Matrix<double>::Zero(d, d);
      random.fill_normal(Z);
      M.topRightCorner(half, d - half) = Z;
      const auto A = at.block(a, h), B = at.block(b, h);
      head(a, h) = A * M;
      if (left)
        head(b, h) = -M * B;
      else
        head(b, h) = -B * M.transpose();
    }
  };
  if (at.softmax()) pair(kQ, kK, false);
  pair(kV, kO, true);
  if (!direction.isZero(0)) return direction;

  const DataFeatures features = data_features(at.data());
  const auto random_of = [&](const Vectors<double>& basis) {
    Matrix<double> Z(basis.cols(), d);
    random.fill_normal(Z);
    return Matrix<double>(basis * Z);
  };
  for (Index h = 0; h < heads; ++h) {
    for (const AttentionBlock b : {kQ, kK, kV})
      if (at.trains(b)) head(b, h) += random_of(features.null);
    if (!at.trains(kK) || (!at.softmax() && !at.trains(kQ))) continue;
    const Matrix<double> shift = random_of(features.constant);
    head(kK, h) += shift;
    if (!at.softmax()) head(kQ, h) += shift;
  }
  return direction;
}

}  // namespace basin
