/// Dense factorisations: LAPACK, on one thread, so that the bits do not depend on the number of threads.
#pragma once

#include "linalg/types.h"

namespace basin {

/// The singular values of A, descending: min(rows, cols) of them. Each is right to a modest multiple of eps
/// |A|. (QR iteration, dgesvd: Eigen 3.4.0's BDCSVD returns wrong values for some matrices with clustered
/// ones.) Throws WorkError when the iteration does not converge.
Vector<double> singular_values(Vectors<double> A);

/// The upper triangular (trapezoidal) factor of A = Q R, min(rows, cols) x cols. A is overwritten.
Vectors<double> triangular_factor(VectorsRef<double> A);

struct SymmetricEigen {
  Vector<double> values;    ///< ascending
  Vectors<double> vectors;  ///< orthonormal columns, or empty
};

/// Eigenvalues, and eigenvectors when wanted, of the symmetric A (its lower triangle is read).
/// Throws WorkError when the iteration does not converge.
SymmetricEigen symmetric_eigen(Vectors<double> A, bool with_vectors);

}  // namespace basin
