#include "basin/single_layer/gauge.h"

#include <Eigen/LU>
#include <cmath>

#include "basin/linalg/dense.h"
#include "basin/linalg/errors.h"

namespace basin {
namespace {

constexpr double kRank = 1e-10;  // relative: singular values below are taken for zero

[[noreturn]] void refuse(const std::string& block, Index head) {
  throw InputError("no canonical gauge: " + block + "[" + std::to_string(head) +
                   "] has not the full column rank d; use another normalisation");
}

/// Makes the largest entry of each column of U positive, changing V alike.
void fix_signs(Vectors<double>& U, Vectors<double>* V) {
  for (Index j = 0; j < U.cols(); ++j) {
    Index largest = 0;
    U.col(j).cwiseAbs().maxCoeff(&largest);
    if (U(largest, j) >= 0) continue;
    U.col(j) *= -1;
    if (V) V->col(j) *= -1;
  }
}

/// An orthonormal basis of the complement of the columns of U in those of A (U within A), chosen by the space
/// alone: columns of its projector, picked by pivoting.
Vectors<double> complement(const Vectors<double>& A, const Vectors<double>& U) {
  const Index size = A.cols() - U.cols();
  const Vectors<double> basis = orthonormal_columns(A);
  const Vectors<double> rest = basis - U * (U.transpose() * basis);
  const SingularPairs svd = singular_pairs(rest);
  const Vectors<double> inside = svd.left.leftCols(size);
  // Pivoted Gram-Schmidt on the columns of inside inside^T: the residual of column i is that of row i.
  Vectors<double> rows = inside, chosen(A.rows(), size);
  for (Index j = 0; j < size; ++j) {
    Index pivot = 0;
    rows.rowwise().squaredNorm().maxCoeff(&pivot);
    const Vector<double> direction = rows.row(pivot).normalized();
    chosen.col(j) = inside * direction;
    rows -= (rows * direction) * direction.transpose();
  }
  return chosen;
}

/// G with A = A' G, B = G^-1 B' and A'^T A' = B' B'^T. A: D x d of full column rank, B: d x E.
Matrix<double> balanced(const Vectors<double>& A, const Vectors<double>& B, const std::string& block,
                        Index head) {
  const Index d = A.cols();
  const Vector<double> of_A = singular_values(A);
  if (A.rows() < d || !(of_A[d - 1] > kRank * of_A[0])) refuse(block, head);
  // A B = Q_A (R_A L^T) Q_B^T, and the singular values of the small factor in the middle.
  const auto [Q_A, R_A] = orthogonal_triangular(A);
  Vectors<double> B_transposed = B.transpose();
  const SingularPairs svd = singular_pairs(R_A * triangular_factor(B_transposed).transpose());
  Index rank = 0;
  while (rank < svd.values.size() && svd.values[rank] > kRank * svd.values[0]) ++rank;
  if (rank == 0) refuse("W_O", head);
  Vectors<double> U = Q_A * svd.left.leftCols(rank);
  fix_signs(U, nullptr);
  const Vector<double> roots = svd.values.head(rank).cwiseSqrt();
  Vectors<double> canonical(A.rows(), d);
  canonical.leftCols(rank) = U * roots.asDiagonal();
  if (rank < d) {
    const double size = std::exp(roots.array().log().mean());
    canonical.rightCols(d - rank) = size * complement(A, U);
  }
  const auto [Q, R] = orthogonal_triangular(canonical);
  return R.triangularView<Eigen::Upper>().solve(Q.transpose() * A);
}

}  // namespace

CanonicalGauge::CanonicalGauge(const ModelPoint<double>& point) : point_(point) {
  const AttentionView at(point, "a canonical gauge");
  const Matrix<double> one = Matrix<double>::Identity(at.spec().head_dim, at.spec().head_dim);
  for (Index h = 0; h < at.spec().heads; ++h) {
    Head head{one, one, one, one};
    const Vectors<double> Q = at.W_Q(h), K = at.W_K(h);
    const bool scores = at.trains(kQ) || at.trains(kK);
    if (scores && at.softmax()) {
      if (const Vector<double> values = singular_values(K);
          K.rows() < K.cols() || !(values[K.cols() - 1] > kRank * values[0]))
        refuse("W_K", h);
      head[kQ] = balanced(Q, K.transpose(), "W_Q", h);
      head[kK] = head[kQ].inverse().transpose();
    } else if (scores) {
      Vectors<double> both(2 * Q.rows(), Q.cols());
      both << Q, K;
      SingularPairs svd = singular_pairs(both);
      Vectors<double> rotation = svd.vectors, turned = both * rotation;
      fix_signs(turned, &rotation);
      head[kQ] = head[kK] = rotation.transpose();
    }
    if (at.trains(kV) || at.trains(kO)) {
      head[kV] = balanced(at.W_V(h), at.W_O(h), "W_V", h);
      head[kO] = head[kV].inverse();
    }
    heads_.push_back(std::move(head));
  }
  for_blocks(at.of_weights(point_.weights), [](auto block, const Matrix<double>& factor, bool left) {
    const Matrix<double> inverse = factor.inverse();
    block = left ? (inverse * block).eval() : (block * inverse).eval();
  });
}

/// Calls body(slice, factor, whether it stands on the left) for every head of every block that is there.
template <class Body>
void CanonicalGauge::for_blocks(BlockView<double> blocks, const Body& body) const {
  for (const AttentionBlock b : {kQ, kK, kV, kO})
    for (std::size_t h = 0; h < heads_.size() && blocks.has(b); ++h)
      body(blocks(b, 0, static_cast<Index>(h)), heads_[h][b], b == kO);
}

void CanonicalGauge::carry_back(Vector<double>& direction) const {
  const AttentionView at(point_);
  for_blocks(at.of_theta(direction), [](auto block, const Matrix<double>& factor, bool left) {
    block = left ? (factor * block).eval() : (block * factor).eval();
  });
}

std::unique_ptr<const CanonicalPoint> canonical_gauge(const ModelPoint<double>& point) {
  return std::make_unique<const CanonicalGauge>(point);
}

}  // namespace basin
