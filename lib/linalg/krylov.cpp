#include "linalg/krylov.h"

#include <algorithm>

#include "linalg/errors.h"

namespace basin {

KrylovSpace::KrylovSpace(const SelfAdjointOperator& A, const Vectors<double>& start, Index max_size)
    : A_(A), V_(A.rows(), std::min(max_size, A.rows())), T_(V_.cols(), V_.cols()) {
  append(start, 0);
}

void KrylovSpace::append(Vectors<double> W, double scale) {
  // Below this a column is what rounding left of a dependent one.
  constexpr double kDependent = 1e-13;
  exhausted_ = size_ < V_.cols() || V_.cols() == V_.rows();
  for (Index j = 0; j < W.cols() && size_ + next_ < V_.cols(); ++j) {
    Vector<double> w = W.col(j);
    const double length = std::max(scale, w.stableNorm());
    const auto known = V_.leftCols(size_ + next_);
    for (int pass = 0; pass < 2; ++pass) w -= known * (known.transpose() * w);
    const double rest = w.stableNorm();
    if (!(rest > kDependent * length)) continue;
    w /= rest;
    w -= known * (known.transpose() * w);  // once more, for columns of which little was left
    V_.col(size_ + next_++) = w.normalized();
    exhausted_ = false;
  }
}

bool KrylovSpace::expand() {
  if (next_ == 0) return false;
  const Index first = size_, b = next_;
  Vectors<double> W(A_.rows(), b);
  A_.apply(V_.middleCols(first, b), W);
  if (!W.allFinite()) throw WorkError("a product of the operator is not finite: eigenvalues are not defined");
  size_ += b;
  next_ = 0;
  ++steps_;
  products_ += b;
  // T's new columns; above the last two blocks they are zero but for rounding, which is kept: T = V^T A V.
  const Vectors<double> coefficients = V_.leftCols(size_).transpose() * W;
  T_.block(0, first, size_, b) = coefficients;
  T_.block(first, 0, b, size_) = coefficients.transpose();
  const Vectors<double> corner = T_.block(first, first, b, b);
  T_.block(first, first, b, b) = (corner + corner.transpose()) / 2;
  append(W, W.colwise().stableNorm().maxCoeff());
  return next_ > 0;
}

}  // namespace basin
