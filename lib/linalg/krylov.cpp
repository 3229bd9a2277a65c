#include "basin/linalg/krylov.h"

#include <algorithm>
#include <utility>

#include "basin/linalg/errors.h"
#include "basin/linalg/orthogonal.h"

namespace basin {

KrylovSpace::KrylovSpace(const SelfAdjointOperator& A, const Vectors<double>& start, Index max_size)
    : A_(A), V_(A.rows(), std::min(max_size, A.rows())), T_(V_.cols(), V_.cols()) {
  append(start, 0);
}

Vectors<double> KrylovSpace::append(Vectors<double> W, double scale) {
  next_ = 0;
  exhausted_ = V_.cols() == V_.rows();
  if (size_ == V_.cols()) return gram(basis(), W);
  Orthonormalised fresh = orthonormalise(basis(), W, scale);
  next_ = std::min(fresh.count, V_.cols() - size_);
  V_.middleCols(size_, next_) = W.leftCols(next_);
  exhausted_ = next_ == 0;
  return std::move(fresh.coefficients);
}

bool KrylovSpace::expand() {
  if (next_ == 0) return false;
  const Index first = size_, b = next_;
  Vectors<double> W(A_.rows(), b);
  A_.apply(V_.middleCols(first, b), W);
  if (!W.allFinite()) throw WorkError("a product of the operator is not finite: eigenvalues are not defined");
  size_ += b;
  ++steps_;
  products_ += b;
  const double scale = norms(W).maxCoeff();
  const Vectors<double> coefficients = append(std::move(W), scale);
  // T's new columns; above the last two blocks they are zero but for rounding, which is kept: T = V^T A V.
  T_.block(0, first, size_, b) = coefficients;
  T_.block(first, 0, b, size_) = coefficients.transpose();
  const Vectors<double> corner = T_.block(first, first, b, b);
  T_.block(first, first, b, b) = (corner + corner.transpose()) / 2;
  return next_ > 0;
}

}  // namespace basin
