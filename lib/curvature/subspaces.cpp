#include "basin/curvature/subspaces.h"

#include <Eigen/QR>
#include <algorithm>
#include <cmath>

#include "basin/curvature/symmetry_families.h"
#include "basin/linalg/dense.h"

namespace basin {
namespace {

using PivotedQR = Eigen::ColPivHouseholderQR<Dense>;

/// Diagonal entries descend, but for rounding.
Index rank_of(const PivotedQR& qr, double least) {
  const Index most = std::min(qr.rows(), qr.cols());
  Index rank = 0;
  while (rank < most && std::abs(qr.matrixR()(rank, rank)) > least) ++rank;
  return rank;
}

/// Singular values are the surer measure of what is 0; of larger matrices they take too long.
Dense null_of(const Dense& A, double scale) {
  constexpr Index kSmall = 128;
  return std::max(A.rows(), A.cols()) <= kSmall ? null_space(A, scale) : null_basis(A, scale);
}

}  // namespace

Dense stacked(const Dense& above, const Dense& below) {
  if (above.cols() == 0) return zero(above.rows() + below.rows(), 0);
  Dense both(above.rows() + below.rows(), above.cols());
  both << above, below;
  return both;
}

Dense span_or_none(const Dense& A) {
  if (A.cols() == 0) return A;
  const SingularPairs svd = singular_pairs(A);
  Index rank = 0;
  while (rank < svd.values.size() && svd.values[rank] > 1e-10 * svd.values[0] && svd.values[rank] > 0) ++rank;
  return svd.left.leftCols(rank);
}

Dense outside(const Dense& A, const Dense& U) {
  return U.cols() == 0 ? A : Dense(A - U * (U.transpose() * A));
}

Dense preimage(const Dense& W, const Dense& U) {
  return null_of(outside(W.transpose(), U), W.norm());
}

Dense intersection(const Dense& a, const Dense& b) {
  const Index n = a.rows();
  if (a.cols() == n || b.cols() == 0) return b;
  if (b.cols() == n || a.cols() == 0) return a;
  return a * null_of(outside(a, b), 1);
}

Dense coordinates(Index n, const std::vector<Index>& which) {
  Dense all = zero(n, static_cast<Index>(which.size()));
  for (std::size_t k = 0; k < which.size(); ++k) all(which[k], static_cast<Index>(k)) = 1;
  return all;
}

std::vector<Index> coordinates_in(const Dense& U) {
  std::vector<Index> which;
  for (Index i = 0; i < U.rows() && U.cols() > 0; ++i)
    if (1 - U.row(i).squaredNorm() <= 1e-10) which.push_back(i);
  return which;
}

Dense annihilators(const Matrix<double>& x, const Mask& needed, bool ones) {
  const auto rows = static_cast<Index>(std::count(needed.begin(), needed.end(), 1));
  const Index width = x.cols() + (ones ? 1 : 0);
  Dense all = zero(std::max(rows, width), width);
  Index to = 0;
  for (Index row = 0; row < x.rows(); ++row)
    if (needed[static_cast<std::size_t>(row)] != 0) {
      all.row(to).head(x.cols()) = x.row(row);
      if (ones) all(to, x.cols()) = 1;
      ++to;
    }
  Vector<double> sizes = all.colwise().norm();
  for (double& size : sizes)
    if (size == 0) size = 1;
  all.array().rowwise() /= sizes.transpose().array();
  Dense N = null_of(triangular_factor(all), 0);
  N.array().colwise() /= sizes.array();
  return span_or_none(N);
}

Dense null_basis(const Dense& A, double scale) {
  const Index n = A.cols();
  if (A.rows() == 0 || n == 0) return identity(n);
  const PivotedQR qr(A.transpose());
  const Index rank = rank_of(qr, 1e-10 * (scale > 0 ? scale : std::abs(qr.matrixR()(0, 0))));
  Dense basis = zero(n, n - rank);
  if (rank == n) return basis;
  basis.bottomRows(n - rank).setIdentity();
  basis.applyOnTheLeft(qr.householderQ());
  return basis;
}

Dense range_basis(const Dense& A, double least) {
  if (A.rows() == 0 || A.cols() == 0) return Dense(A.rows(), 0);
  const PivotedQR qr(A);
  const Index rank = rank_of(qr, least);
  Dense basis = Dense::Identity(A.rows(), rank);
  if (rank == 0) return basis;
  basis.applyOnTheLeft(qr.householderQ());
  return basis;
}

}  // namespace basin
