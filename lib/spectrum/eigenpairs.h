/// Eigenvalues of self-adjoint operators, each with an error bound (MATHEMATICS.md).
#pragma once

#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "basin/linalg/linear_operator.h"
#include "basin/linalg/progress.h"
#include "basin/spectrum/assembled_matrix.h"

namespace basin {

struct Eigenvalue {
  double value;
  /// |A x - value x| of the computed unit eigenvector x; NaN when no eigenvectors were asked for.
  double residual;
  /// The operator has an eigenvalue within this distance of `value`: the residual, and what rounding does to
  /// it (EigenOptions::perturbed).
  double error_bound;
  bool converged;
};

enum class End { largest, smallest };

struct EigenResult {
  std::vector<Eigenvalue>
      eigenvalues;  ///< outermost first: descending from the largest, ascending from the smallest
  Vectors<double> eigenvectors;  ///< size x k, unit columns in the same order; empty when not asked for
  Index requested = 0;
  Index converged = 0;
  Index products = 0;        ///< vectors multiplied by the operator
  bool shared = false;       ///< the products are those of both ends together
  std::string method;        ///< one line
  std::string completeness;  ///< what backs the claim that no eigenvalue was missed
  bool dense = false;        ///< all eigenvalues are known, with multiplicities
  Index removed = 0;         ///< dimension of the space set aside: the values are those on its complement
  /// As many eigenvalues of the operator, counted with multiplicity, lie within this distance of the values,
  /// one of each: the norm of the residuals of all pairs together (Kahan; Parlett, The Symmetric Eigenvalue
  /// Problem, 1980, section 11.5), and rounding.
  double joint_bound = 0;
  /// With probability 1 - 1e-6 over the probing vectors there is no further eigenvalue beyond this (not
  /// finite: nothing is known). When it does not reach the last value, these are the outermost ones.
  double no_more_beyond = std::numeric_limits<double>::quiet_NaN();
  /// Eigenvalues no further than this beyond the last value were not looked for: what the tolerance, or
  /// rounding, cannot tell from it.
  double resolution = 0;
  /// False: the search for missed eigenvalues could not tell whether there are any (`completeness` says so).
  bool resolved = true;
  Index probes = 0;  ///< blocks of random vectors that looked for missed eigenvalues
  bool all_converged() const { return converged == requested; }
};

struct EigenOptions {
  /// Converged means residual <= tolerance |A|.
  double tolerance = 1e-10;
  /// Upper limit on restarts of the Krylov space.
  Index max_restarts = 300;
  /// Vectors of the Krylov space before a restart (more if so many pairs are asked for, and at most half the
  /// size): what bounds the memory.
  Index krylov_vectors = 256;
  /// Operators up to this size are assembled and solved densely.
  Index dense_limit = kDecompositionLimit;
  /// Seed of the start vectors.
  std::uint64_t seed = 0;
  /// Probing for missed eigenvalues: vectors in a block and steps with it.
  Index probe_block = 2, probe_steps = 40;
  /// The same operator, evaluated with other roundings (model/perturbation.h): how far its products are apart
  /// measures their rounding error. Without it, products with a scaled vector are compared: that sees the
  /// rounding of the product only, not that of the point.
  const SelfAdjointOperator* perturbed = nullptr;
};

struct ExtremeEigenpairs {
  EigenResult smallest, largest;  ///< empty where none were asked for
};

/// The algebraically smallest and largest eigenpairs, so many of each, with their multiplicities:
/// thick-restarted Lanczos (Spectra) for both ends in one, then deflation of what was found and block Krylov
/// spaces of fresh random vectors, until these find nothing further out. Or by a dense solver up to
/// `dense_limit`, or where a Krylov space would fill the operator. Residuals are computed afresh from the
/// operator, not taken from the recurrence. Pairs that have not converged are returned with what is known of
/// them; the smallest value found is in any case an upper bound on the smallest eigenvalue, and so on.
/// `progress` counts products against their limit. Throws InputError unless both numbers are at most the size
/// and one is not 0, and WorkError when a product or its norm is not finite.
ExtremeEigenpairs extreme_eigenpairs(const SelfAdjointOperator& A, Index smallest, Index largest,
                                     const EigenOptions& options = {}, const Progress& progress = {});

/// One end alone.
EigenResult extreme_eigenpairs(const SelfAdjointOperator& A, End end, Index count,
                               const EigenOptions& options = {}, const Progress& progress = {});

/// The same of A restricted to the complement of the space of dimension `removed` that `remove` takes away,
/// as many as there are. The space is moved to the other end.
ExtremeEigenpairs restricted_eigenpairs(const SelfAdjointOperator& A, const Removal& remove, Index removed,
                                        Index smallest, Index largest, const EigenOptions& options = {},
                                        const Progress& progress = {});

/// All eigenvalues (ascending) of the assembled matrix, by a dense solver; eigenvectors when `with_vectors`.
/// The bound is Weyl's, on the sum of three errors: the asymmetry of the assembled matrix (Frobenius norm),
/// size eps |A| for the solver, and the rounding of the matrix, measured by products with random vectors.
/// Of the options only seed and perturbed are used. Throws WorkError when a product is not finite.
EigenResult full_spectrum(const SelfAdjointOperator& A, bool with_vectors, const EigenOptions& options = {},
                          const Progress& progress = {});

/// Of a matrix that is there, or of its restriction to the complement of a space.
EigenResult full_spectrum(AssembledMatrix assembled, bool with_vectors, const Removal& remove = {},
                          Index removed = 0);

/// The outermost ones of a full spectrum.
ExtremeEigenpairs ends_of_spectrum(const EigenResult& spectrum, Index smallest, Index largest);

/// Bytes these take at their peak, besides what the operator itself takes.
double full_spectrum_bytes(Index size, bool with_vectors);
double extreme_eigenpairs_bytes(Index size, Index smallest, Index largest, const EigenOptions& options = {});

}  // namespace basin
