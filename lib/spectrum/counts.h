/// How many eigenvalues are negative, zero and positive, once known zero modes are set aside.
#pragma once

#include <string>

#include "basin/linalg/combinators.h"
#include "basin/spectrum/eigenpairs.h"

namespace basin {

/// Numbers of eigenvalues of A restricted to the orthogonal complement of a space (of symmetry directions,
/// say): below -tolerance, within it, and above.
struct EigenvalueCounts {
  Index size = 0;     ///< of A
  Index removed = 0;  ///< dimension of the space set aside
  Index negative = 0, zero = 0, positive = 0;
  /// False: the number above is the least there are (and what is not counted counts as positive).
  bool negative_exact = true, zero_exact = true;
  double tolerance = 0;
  double rounding = 0;     ///< eigenvalues this close to -tolerance or tolerance may count on either side
  bool elsewhere = false;  ///< of the matrix of an equivalent point, and not of A
  /// About |A Z|, Z orthonormal in the space set aside (0 where that is none): were its complement another
  /// one, eigenvalues this small might have the other sign. At a stationary point it is rounding.
  double reach = 0;
  /// Of these, so many are no further from 0. Where they were not all computed: the least there are.
  Index negative_within = 0, positive_within = 0;
  bool within_exact = true;
  std::string tolerance_reason;  ///< where the tolerance comes from
  std::string method;            ///< one line
  std::string completeness;      ///< what backs the numbers
  bool exact() const { return negative_exact && zero_exact; }
  /// Whether signs mean anything for a matrix of this norm: not where rounding, as measured, comes near it,
  /// as it does next to a kink of ReLU, where the last digits of a point decide what the matrix is.
  bool decided(double norm) const { return norm == 0 || rounding <= kMostRounding * norm; }
  static constexpr double kMostRounding = 1e-3;
};

/// By inertia: two factorisations of the assembled matrix, shifted by either tolerance, with the space set
/// aside moved to |A|. A `tolerance` of 0 stands for the rounding of the matrix, as measured, of the removal
/// and of the factorisation, size eps |A| each; a smaller one is raised to it, as signs within rounding are
/// not known. Takes 8 size^2 bytes and size^3 / 3 multiplications twice, and twice more where the reach of
/// the space is beyond the tolerance.
EigenvalueCounts dense_counts(AssembledMatrix assembled, const Removal& remove, Index removed,
                              double tolerance = 0);

/// From the smallest eigenpairs of A, or of its restriction: their number is exact where all have converged,
/// the last one lies beyond the tolerance by more than its error bound and the resolution of the search for
/// missed ones, and that search came to an end. A `tolerance` of 0 stands for twice the largest of their
/// error bounds and that resolution; one below the error bounds is raised to them.
/// reach: as `space_reach` says.
EigenvalueCounts krylov_counts(const EigenResult& smallest, Index size, Index removed, double tolerance = 0,
                               double reach = 0);

/// About |A Z|, from below, for an orthonormal basis Z of the space that `remove` takes away: some steps of
/// the power method.
double space_reach(const SelfAdjointOperator& A, const Removal& remove, std::uint64_t seed);

/// Bytes that dense_counts takes.
double dense_counts_bytes(Index size);

}  // namespace basin
