/// Exact stationary points with positive loss, anywhere.
#pragma once

#include "basin/linalg/dense.h"
#include "support/cases.h"

namespace basin::test {

/// The same weights and inputs with targets Y = F - r, r a random unit vector with J^T r = 0: the gradient of
/// the loss 1/2 is then zero (to rounding), whatever the weights. Needs more outputs than rank J.
inline ModelPoint<double> made_stationary(ModelPoint<double> instance, double residual = 1) {
  const Linearization<double> at = instance.linearize();
  const SingularPairs svd = singular_pairs(at.jacobian_transposed().transpose());  // J: m x P
  const Index m = at.output_size();
  Index rank = 0;
  while (rank < svd.values.size() && svd.values[rank] > 1e-11 * svd.values[0]) ++rank;
  if (rank == m) throw std::runtime_error("made_stationary: J has full row rank");
  Vectors<double> r = random_vectors(m, 1, 5);
  for (int pass = 0; pass < 3; ++pass)
    r -= svd.left.leftCols(rank) * (svd.left.leftCols(rank).transpose() * r);
  r *= residual / r.norm();
  auto data = std::make_shared<Data<double>>(*instance.data);
  data->Y = at.outputs() - Eigen::Map<const Matrix<double>>(r.data(), data->Y.rows(), data->Y.cols());
  instance.data = data;
  return instance;
}

}  // namespace basin::test
