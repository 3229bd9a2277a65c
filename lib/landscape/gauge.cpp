#include "landscape/gauge.h"

#include <Eigen/LU>
#include <cmath>

#include "linalg/dense.h"
#include "linalg/errors.h"

namespace basin {
namespace {

constexpr double kRank = 1e-10;  // relative: singular values below are taken for zero

using Map = Eigen::Map<Matrix<double>>;

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

CanonicalGauge::CanonicalGauge(const AttentionSpec& spec, const ParameterLayout& layout,
                               const Vector<double>& weights)
    : layout_(layout), weights_(weights) {
  const auto slice = [&](const char* block, Index h) {
    const auto& e = layout.find(block);
    const Index rows = e.block.rows(), cols = e.block.cols();
    return Eigen::Map<const Matrix<double>>(weights.data() + e.offset + h * rows * cols, rows, cols);
  };
  const auto trained = [&](const char* a, const char* b) {
    return layout.find(a).trainable() || layout.find(b).trainable();
  };
  const Matrix<double> one = Matrix<double>::Identity(spec.head_dim, spec.head_dim);
  for (Index h = 0; h < spec.heads; ++h) {
    Head head{one, one, one, one};
    const Vectors<double> Q = slice("W_Q", h), K = slice("W_K", h);
    const bool scores = trained("W_Q", "W_K");
    if (scores && spec.kernel == KernelKind::softmax) {
      if (const Vector<double> values = singular_values(K);
          K.rows() < K.cols() || !(values[K.cols() - 1] > kRank * values[0]))
        refuse("W_K", h);
      head.queries = balanced(Q, K.transpose(), "W_Q", h);
      head.keys = head.queries.inverse().transpose();
    } else if (scores) {
      Vectors<double> both(2 * Q.rows(), Q.cols());
      both << Q, K;
      SingularPairs svd = singular_pairs(both);
      Vectors<double> rotation = svd.vectors, turned = both * rotation;
      fix_signs(turned, &rotation);
      head.queries = head.keys = rotation.transpose();
    }
    if (trained("W_V", "W_O")) {
      head.values = balanced(slice("W_V", h), slice("W_O", h), "W_V", h);
      head.outputs = head.values.inverse();
    }
    heads_.push_back(std::move(head));
  }
  for_blocks(weights_, false, [](Map block, const Matrix<double>& factor, bool left) {
    const Matrix<double> inverse = factor.inverse();
    block = left ? (inverse * block).eval() : (block * inverse).eval();
  });
}

/// Calls body(slice, factor, whether it stands on the left) for every head of every block.
template <class Body>
void CanonicalGauge::for_blocks(Vector<double>& vector, bool trained_only, const Body& body) const {
  const auto& entries = layout_.entries();
  for (std::size_t b = 0; b < entries.size(); ++b) {
    const auto& e = entries[b];
    if (trained_only && !e.trainable()) continue;
    const Index offset = trained_only ? e.theta_offset : e.offset, rows = e.block.rows(),
                cols = e.block.cols();
    for (std::size_t h = 0; h < heads_.size(); ++h) {
      const Head& head = heads_[h];
      const Matrix<double>* factors[] = {&head.queries, &head.keys, &head.values, &head.outputs};
      body(Map(vector.data() + offset + static_cast<Index>(h) * rows * cols, rows, cols), *factors[b],
           b == 3);
    }
  }
}

void CanonicalGauge::carry_back(Vector<double>& direction) const {
  for_blocks(direction, true, [](Map block, const Matrix<double>& factor, bool left) {
    block = left ? (factor * block).eval() : (block * factor).eval();
  });
}

}  // namespace basin
