/// The smallest eigenpair of a large positive semidefinite operator, preconditioned.
#pragma once

#include <cstdint>
#include <functional>

#include "basin/linalg/linear_operator.h"
#include "basin/linalg/solver_status.h"

namespace basin {

struct LobpcgOptions {
  /// Converged means residual <= tolerance * value.
  double tolerance = 1e-3;
  Index max_products = 2000;
  /// Vectors that are improved together; the others find what the first one is mixed with.
  Index block = 8;
  std::uint64_t seed = 0;
};

struct SmallestPair {
  double value = 0;       ///< x^T A x: never below the smallest eigenvalue, but for rounding
  Vector<double> vector;  ///< x, of unit length
  double residual = 0;    ///< |A x - value x|: some eigenvalue is that close to value
  SolverStatus status;
};

/// Locally optimal block preconditioned conjugate gradients (Knyazev, SIAM J. Sci. Comput. 23, 2001), with
/// the orthonormal bases of Hetmaniuk and Lehoucq (J. Comput. Phys. 218, 2006). `precondition` changes
/// vectors in place to about A^-1 times them; it must be linear and positive definite. `progress` counts
/// products. Throws WorkError when a product is not finite.
SmallestPair smallest_pair(const SelfAdjointOperator& A,
                           const std::function<void(VectorsRef<double>)>& precondition,
                           const LobpcgOptions& options = {}, const Progress& progress = {});

}  // namespace basin
