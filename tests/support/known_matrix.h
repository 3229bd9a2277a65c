/// Matrices with known spectra, wrapped as operators.
#pragma once

#include "basin/linalg/dense.h"
#include "basin/linalg/linear_operator.h"
#include "basin/linalg/random.h"

namespace basin::test {

/// A random orthogonal matrix.
inline Vectors<double> random_orthogonal(Index size, std::uint64_t seed) {
  Vectors<double> G(size, size);
  Random(seed, "orthogonal").fill_normal(G);
  return orthonormal_columns(G);
}

class MatrixOperator final : public SelfAdjointOperator {
 public:
  explicit MatrixOperator(Vectors<double> A) : SelfAdjointOperator(A.rows()), A_(std::move(A)) {}
  /// Q diag(values) Q^T with a random orthogonal Q.
  explicit MatrixOperator(const Vector<double>& values, std::uint64_t seed = 1)
      : MatrixOperator(with_spectrum(values, seed)) {}

 private:
  static Vectors<double> with_spectrum(const Vector<double>& values, std::uint64_t seed) {
    const Vectors<double> Q = random_orthogonal(values.size(), seed);
    const Vectors<double> A = Q * values.asDiagonal() * Q.transpose();
    return (A + A.transpose()) / 2;
  }
  void do_apply(ConstVectorsRef<double> V, VectorsRef<double> out) const override { out = A_ * V; }
  Vectors<double> A_;
};

}  // namespace basin::test
