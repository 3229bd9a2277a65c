/// Counts and the smallest eigenvalue on the complement of a space, the dense and the Krylov way alike.
#pragma once

#include "basin/spectrum/counts.h"

namespace basin::test {

/// Both in one: the counts and the smallest eigenvalue of A on the complement of a space, densely up to
/// `dense_limit`, else by Krylov spaces with this many pairs.
struct RestrictedCurvature {
  EigenvalueCounts counts;
  Eigenvalue smallest{};     ///< of the restriction
  Vector<double> direction;  ///< its unit eigenvector, in the complement
  std::string completeness;  ///< what backs that it is the smallest
};
struct RestrictedOptions {
  double tolerance = 0;  ///< of the counts
  Index dense_limit = 1000;
  Index pairs = 6;  ///< of the Krylov side
  EigenOptions eigen;
};

inline RestrictedCurvature restricted_curvature(const SelfAdjointOperator& A, const Removal& remove,
                                                Index removed, const RestrictedOptions& options = {}) {
  const Index size = A.rows();
  RestrictedCurvature result;
  EigenResult smallest;
  if (size <= options.dense_limit) {
    AssembledMatrix assembled = assembled_matrix(A, options.eigen.perturbed, options.eigen.seed);
    smallest = ends_of_spectrum(full_spectrum(assembled, true, remove, removed), 1, 0).smallest;
    result.counts = dense_counts(std::move(assembled), remove, removed, options.tolerance);
  } else {
    smallest =
        restricted_eigenpairs(A, remove, removed, std::min(options.pairs, size), 0, options.eigen).smallest;
    result.counts = krylov_counts(smallest, size, removed, options.tolerance);
  }
  result.smallest = smallest.eigenvalues.front();
  result.direction = smallest.eigenvectors.col(0);
  result.completeness = smallest.completeness;
  return result;
}

}  // namespace basin::test
