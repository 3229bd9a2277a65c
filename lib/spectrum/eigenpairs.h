/// Eigenvalues of self-adjoint operators, each with an error bound.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "linalg/linear_operator.h"
#include "linalg/progress.h"

namespace basin {

struct Eigenvalue {
  double value;
  /// |A x - value x| of the computed unit eigenvector x; NaN when no eigenvectors were asked for.
  double residual;
  /// The operator has an eigenvalue within this distance of `value`. It covers the residual and the rounding
  /// of the products, not the rounding of the point at which the operator was evaluated.
  double error_bound;
  bool converged;
};

enum class End { largest, smallest };

struct EigenResult {
  std::vector<Eigenvalue>
      eigenvalues;  ///< outermost first: descending from the largest, ascending from the smallest
  Vectors<double> eigenvectors;  ///< size x k, unit columns in the same order; empty when not asked for
  Index requested = 0;
  Index products = 0;        ///< vectors multiplied by the operator
  std::string method;        ///< one line
  std::string completeness;  ///< what backs the claim that no eigenvalue was missed
  bool all_converged() const;
};

struct EigenOptions {
  /// Converged means residual <= tolerance |A|.
  double tolerance = 1e-10;
  /// Upper limit on restarts of the Krylov space; what has not converged then is left out and counted.
  Index max_restarts = 300;
  /// Seed of the start vector.
  std::uint64_t seed = 0;
};

/// The `count` algebraically largest or smallest eigenpairs, by thick-restarted Lanczos (Spectra), or by a
/// dense solver where the operator is so small that a Krylov space would fill it. Residuals are computed
/// afresh from the operator, not taken from the recurrence. Products are counted in `progress` against the
/// limit. Throws InputError unless 1 <= count <= size, and WorkError when a product is not finite.
EigenResult extreme_eigenpairs(const SelfAdjointOperator& A, End end, Index count,
                               const EigenOptions& options = {}, const Progress& progress = {});

/// All eigenvalues (ascending) of the assembled matrix, by a dense solver; eigenvectors when `with_vectors`.
/// The bound is Weyl's: half the asymmetry of the assembled matrix in Frobenius norm, plus size eps |A| for
/// the solver. Needs 2 or 3 size^2 numbers. Throws WorkError when a product is not finite.
EigenResult full_spectrum(const SelfAdjointOperator& A, bool with_vectors, const Progress& progress = {});

}  // namespace basin
