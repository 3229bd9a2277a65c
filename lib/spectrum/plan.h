/// What is asked of a spectrum, and how it is found within the memory there is.
#pragma once

#include <string>
#include <vector>

#include "basin/spectrum/density.h"
#include "basin/spectrum/eigenpairs.h"

namespace basin {

/// What is asked of the spectrum of an operator A, of which the directions of some space (of symmetries, say)
/// may be set aside.
struct SpectrumRequest {
  Index smallest = 0, largest = 0;  ///< so many eigenpairs at either end
  bool full = false;                ///< all eigenvalues, of the assembled matrix
  bool with_vectors = false;        ///< the eigenvectors, too
  bool counts = false;         ///< how many are negative, zero and positive: of A, and of its restriction
  double count_tolerance = 0;  ///< as for dense_counts
  bool density = false;
  double density_width = 0;  ///< as for density_curve
  bool norms = false;        ///< trace, Frobenius norm, norms of the blocks that the subject names
  Index norm_probes = 20;    ///< random vectors for each of these, where the matrix is not assembled
  /// Eigenvalues and density are those of the restriction of A to the complement of the space.
  bool restricted = false;
  /// Up to so many rows the matrix is assembled for counts; for eigenpairs eigen.dense_limit holds, too.
  Index dense_limit = kDenseLimit;
  EigenOptions eigen{};            ///< but for `perturbed`
  QuadratureOptions quadrature{};  ///< likewise
};

/// At least so many of the smallest eigenvalues are found where they are to be counted without a matrix.
inline constexpr Index kFewestToCount = 6;

/// The way that is taken.
struct SpectrumPlan {
  bool dense_counts = false;       ///< by inertia of the assembled matrix
  bool ends_from_matrix = false;   ///< the eigenpairs of the ends are among all those of the assembled matrix
  EigenOptions eigen{};            ///< as requested, but for what has to be smaller to fit
  QuadratureOptions quadrature{};  ///< likewise

  struct Need {
    std::string of;    ///< member of SpectrumRequest that needs it
    double bytes = 0;  ///< at its peak, besides what the operator takes
  };
  std::vector<Need> needs;  ///< one after another
  /// The largest.
  double bytes() const;
  /// The first need that so many bytes do not hold, or null.
  const Need* beyond(double memory) const;
};

/// For an operator of so many rows, and so many bytes. What does not fit whichever way it is done is planned
/// all the same: see SpectrumPlan::beyond.
SpectrumPlan plan_spectrum(const SpectrumRequest& request, Index size, double memory);

}  // namespace basin
