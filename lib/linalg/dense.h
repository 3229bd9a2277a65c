/// Dense factorisations: LAPACK, on one thread, so that the bits do not depend on the number of threads.
#pragma once

#include "basin/linalg/types.h"

namespace basin {

/// The singular values of A, descending: min(rows, cols) of them. Each is right to a modest multiple of eps
/// |A|. (QR iteration, dgesvd: Eigen 3.4.0's BDCSVD returns wrong values for some matrices with clustered
/// ones.) Throws WorkError when the iteration does not converge.
Vector<double> singular_values(Vectors<double> A);

struct SingularPairs {
  Vectors<double> left;   ///< orthonormal columns, rows x min(rows, cols)
  Vector<double> values;  ///< descending, min(rows, cols) of them
  Vectors<double>
      vectors;  ///< cols x cols, orthogonal: the right singular vectors, then the rest of the space
};

/// The singular value decomposition A = left diag(values) vectors^T (dgesvd). Throws WorkError when the
/// iteration does not converge.
SingularPairs singular_pairs(Vectors<double> A);

/// The upper triangular (trapezoidal) factor of A = Q R, min(rows, cols) x cols. A is overwritten.
Vectors<double> triangular_factor(VectorsRef<double> A);

struct OrthogonalTriangular {
  Vectors<double> Q;  ///< rows x cols, orthonormal columns, whose span has that of A in it
  Vectors<double> R;  ///< cols x cols, upper triangular
};

/// A = Q R for A with rows >= cols (dgeqrf, dorgqr).
OrthogonalTriangular orthogonal_triangular(Vectors<double> A);

/// Q of that.
Vectors<double> orthonormal_columns(Vectors<double> A);

/// Numbers of eigenvalues of a symmetric matrix by sign.
struct Inertia {
  Index negative = 0, zero = 0, positive = 0;
};

/// The inertia of the symmetric A (its lower triangle is read; A is overwritten), by the factorisation
/// A = L B L^T with rook pivoting, B of blocks 1 x 1 and 2 x 2 (dsytrf_rook), and Sylvester's law. It is that
/// of a matrix within a modest multiple of size eps |A| of A: eigenvalues closer to zero than that may be
/// counted on either side.
Inertia inertia(VectorsRef<double> A);

struct SymmetricEigen {
  Vector<double> values;    ///< ascending
  Vectors<double> vectors;  ///< orthonormal columns, or empty
};

/// Eigenvalues, and eigenvectors when wanted, of the symmetric A (its lower triangle is read).
/// Throws WorkError when the iteration does not converge.
SymmetricEigen symmetric_eigen(Vectors<double> A, bool with_vectors);

}  // namespace basin
