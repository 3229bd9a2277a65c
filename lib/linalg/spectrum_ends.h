/// Both ends of the spectrum of a self-adjoint operator, from a good start.
#pragma once

#include <cstdint>

#include "basin/linalg/linear_operator.h"
#include "basin/linalg/solver_status.h"

namespace basin {

struct SpectrumEndsOptions {
  /// Converged means residuals <= tolerance |A|.
  double tolerance = 1e-7;
  Index max_products = 600;
  std::uint64_t seed = 0;  ///< of the vector that is added to the start
};

struct SpectrumEnds {
  double smallest = 0, largest = 0;                    ///< Rayleigh quotients: within the spectrum
  double smallest_residual = 0, largest_residual = 0;  ///< an eigenvalue lies within
  Vectors<double> vectors;                             ///< their unit vectors: size x 2
  SolverStatus status;
};

/// The algebraically smallest and largest eigenvalue in one block Krylov space with full orthogonalisation
/// and thick restarts (Wu and Simon, SIAM J. Matrix Anal. Appl. 22, 2000), started from `start` (size x any
/// number of vectors, say the eigenvectors at a point nearby) and a random vector, without which eigenvalues
/// that have overtaken others on the way would stay unseen. Throws WorkError when a product is not finite.
SpectrumEnds spectrum_ends(const SelfAdjointOperator& A, const Vectors<double>& start,
                           const SpectrumEndsOptions& options = {});

}  // namespace basin
