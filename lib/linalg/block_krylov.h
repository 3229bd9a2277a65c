/// The upper end of a spectrum from a block Krylov space, with a bound on what the space has not seen.
#pragma once

#include <cstdint>
#include <functional>

#include "basin/linalg/types.h"

namespace basin {

/// Ritz pairs of a symmetric operator, descending.
struct RitzPairs {
  Vector<double> values;
  Vector<double> residuals;  ///< |A x - theta x| of each
  Vector<double> vector;     ///< of the largest, unit length
};

/// Ritz pairs of the symmetric n x n operator `apply` on a block Krylov space, which grows until the largest
/// pair has a residual below 1e-5 of its value (which is then right to the square of that) and `enough` says
/// so, or to 160 vectors.
RitzPairs largest_ritz_pairs(
    Index n, std::uint64_t seed, const std::function<Vectors<double>(const Vectors<double>&)>& apply,
    const std::function<bool(const RitzPairs&)>& enough = [](const RitzPairs&) { return true; });

/// An upper bound on the largest eigenvalue. `rest(r, coupling)` bounds the norm of the compression C
/// of A to the complement of the first r Ritz vectors, given
/// `coupling` = |R|_F^2, the sum of their squared residuals: A is at most the largest eigenvalue of
/// [theta_1 |R|; |R| |C|], which is tight where what the space has not seen is small. The best r is taken.
double bound_largest(const RitzPairs& top, const std::function<double(Index r, double coupling)>& rest);

}  // namespace basin
