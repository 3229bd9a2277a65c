/// Krylov spaces of a self-adjoint operator, with an orthonormal basis that stays orthonormal.
#pragma once

#include "basin/linalg/dense.h"
#include "basin/linalg/linear_operator.h"

namespace basin {

/// The block Krylov space span{X, A X, ..., A^(s-1) X} by block Lanczos with full reorthogonalisation (Golub
/// and Underwood, 1977):
///
///     V^T V = I,   V^T A V = T (symmetric),   A V = V T + (next block) (coupling) E^T
///
///     V: n x size,  T: size x size
///
/// Directions in which A adds nothing new are dropped; when none is left the space is invariant and
/// exhausted.
class KrylovSpace {
 public:
  /// `start`: n x b, any columns; dependent ones are dropped. Memory for `max_size` vectors.
  KrylovSpace(const SelfAdjointOperator& A, const Vectors<double>& start, Index max_size);

  /// One more block of products; false when the space is exhausted or full. Throws WorkError when a product
  /// is not finite.
  bool expand();

  Index size() const { return size_; }    ///< of the space in which T is known
  Index steps() const { return steps_; }  ///< blocks of products
  Index products() const { return products_; }
  /// Nothing is left to add: the space is invariant under A.
  bool exhausted() const { return exhausted_; }
  auto basis() const { return V_.leftCols(size_); }
  Vectors<double> projected() const { return T_.topLeftCorner(size_, size_); }

 private:
  /// Makes the columns of W orthonormal to V_(0..size_) and each other (linalg/orthogonal.h) and appends what
  /// there is room for. Returns V_(0..size_)^T W.
  Vectors<double> append(Vectors<double> W, double scale);

  const SelfAdjointOperator& A_;
  Vectors<double> V_, T_;
  Index size_ = 0, next_ = 0;  ///< columns in use; columns of the block behind them
  Index steps_ = 0, products_ = 0;
  bool exhausted_ = false;
};

}  // namespace basin
