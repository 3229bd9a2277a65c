/// Extreme eigenvalues of a symmetric positive definite matrix, proven by a Cholesky factorisation.
#pragma once

#include <cstdint>

#include "basin/linalg/types.h"

namespace basin {

/// lower <= the exact eigenvalue of the matrix as it is stored <= upper.
struct EnclosedEigenvalue {
  double value = 0, lower = 0, upper = 0;
};

struct DefiniteEigenvalues {
  /// Whether A is proven to be positive definite.
  bool definite = false;
  EnclosedEigenvalue smallest, largest;
  Index solves = 0;  ///< with the Cholesky factor, vectors
};

/// The smallest and the largest eigenvalue of the symmetric A (lower triangle), in m^3 operations instead of
/// the 4 m^3 / 3 slow ones that all eigenvalues take.
///
/// Values come from a block Krylov space of A^-1 and of A. That none is further out is not a matter of luck
/// with the start vectors: if a Cholesky factorisation of A - s I runs through, then
/// lambda_min(A) >= s - (m + 2) eps trace(A) (Demmel 1989; Rump, BIT 46, 2006). For the largest the Frobenius
/// norm of what the Krylov space has not seen is enough as a rule (block_krylov.h), else t I - A is
/// factorised. The other side is a Rayleigh quotient with its rounding. Where A is not numerically definite,
/// `definite` is false, smallest.lower is not positive, and nothing is known of the smallest eigenvalue but
/// its upper bound.
DefiniteEigenvalues definite_eigenvalues(const Vectors<double>& A, std::uint64_t seed = 0);

}  // namespace basin
