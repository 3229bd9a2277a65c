#include "basin/spectrum/counts.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <sstream>

#include "basin/linalg/dense.h"
#include "basin/linalg/errors.h"
#include "basin/linalg/random.h"

namespace basin {
namespace {

constexpr double kUnderflow = std::numeric_limits<double>::min();  // a zero matrix is known to this only

/// The inertia of A - shift I. The upper triangle of A holds the matrix, `diagonal` its diagonal; the lower
/// triangle is working memory.
Inertia shifted_inertia(Vectors<double>& A, const Vector<double>& diagonal, double shift) {
  for (Index j = 0; j < A.cols(); ++j) {
    A.col(j).tail(A.rows() - j - 1) = A.row(j).tail(A.cols() - j - 1).transpose();
    A(j, j) = diagonal[j] - shift;
  }
  return inertia(A);
}

/// |A Z| for apply(v) = A v.
template <class Apply>
double reach_of(const Apply& apply, const Removal& remove, Index size, std::uint64_t seed, int steps) {
  constexpr double kSettled = 1e-9;
  Vectors<double> v(size, 1), w(size, 1);
  Random(seed, "reach").fill_normal(v);
  double reach = 0;
  for (int step = 0; step < steps; ++step) {
    for (int pass = 0; pass < 2; ++pass) {  // its part in the space, and not what rounding leaves beside it
      w = v;
      remove(w);
      v -= w;
      const double length = v.stableNorm();
      if (!(length > 0)) return reach;
      v /= length;
    }
    apply(v, w);
    const double now = w.stableNorm();
    const bool settled = now <= (1 + kSettled) * reach;
    reach = std::max(reach, now);
    if (settled) break;
    apply(w, v);
  }
  return reach;
}

std::string text(double value) {
  std::ostringstream out;
  out.precision(3);
  out << value;
  return out.str();
}

/// The tolerance as given or by default, but not below the rounding.
void set_tolerance(EigenvalueCounts& counts, double given, double by_default, const std::string& reason) {
  counts.tolerance = given > 0 ? std::max(given, counts.rounding) : by_default;
  counts.tolerance_reason = given == 0                ? reason
                            : given < counts.rounding ? "raised from " + text(given) + " to the rounding"
                                                      : "as given";
}

}  // namespace

EigenvalueCounts dense_counts(AssembledMatrix assembled, const Removal& remove, Index removed,
                              double tolerance) {
  EigenvalueCounts counts;
  counts.size = assembled.size();
  counts.removed = removed;
  const auto size = static_cast<double>(counts.size);
  const double norm = spectral_norm(assembled.matrix), distance = assembled.rounding;
  // What lies beyond the whole matrix decides no more than twice its norm, and does not overflow.
  const double farthest = 2 * (assembled.matrix.stableNorm() + distance + kUnderflow);
  const auto rounding = [&] {
    return assembled.asymmetry + assembled.rounding + size * (kEps * norm + kUnderflow);
  };
  if (removed > 0)
    counts.reach = reach_of([&](const Vectors<double>& v, Vectors<double>& w) { w = assembled.matrix * v; },
                            remove, counts.size, 0, 500);
  // Beyond the tolerance, also with what this adds to it.
  if (removed > 0)
    deflate(assembled, remove,
            std::max(norm, 1.01 * counts.reach) + 4 * std::max(std::min(tolerance, farthest), rounding()));
  counts.rounding = rounding();
  set_tolerance(counts, tolerance, counts.rounding,
                "rounding at this point: asymmetry " + text(assembled.asymmetry) +
                    ", distance to the matrix of the same point with last digits moved " + text(distance) +
                    ", P eps |A|" + (removed > 0 ? " and as much for what is set aside" : ""));
  Vectors<double>& A = assembled.matrix;
  const Vector<double> diagonal = A.diagonal();
  const double shift = std::min(counts.tolerance, farthest);
  counts.negative = shifted_inertia(A, diagonal, -shift).negative;
  counts.positive = shifted_inertia(A, diagonal, shift).positive - removed;
  counts.zero = counts.size - removed - counts.negative - counts.positive;
  if (const double far = std::min(counts.reach, farthest); far > shift) {
    counts.negative_within = counts.negative - shifted_inertia(A, diagonal, -far).negative;
    counts.positive_within = counts.positive + removed - shifted_inertia(A, diagonal, far).positive;
  }
  counts.method = "inertia of two shifted factorisations (LAPACK dsytrf_rook) of the assembled matrix";
  counts.completeness = "exact, but for eigenvalues within " + text(counts.rounding) + " of the tolerance";
  return counts;
}

EigenvalueCounts krylov_counts(const EigenResult& smallest, Index size, Index removed, double tolerance,
                               double reach) {
  EigenvalueCounts counts;
  counts.size = size;
  counts.removed = removed;
  for (const Eigenvalue& e : smallest.eigenvalues)
    if (e.converged) counts.rounding = std::max(counts.rounding, e.error_bound);
  // So that zeros, as far off as their bounds, can back that there are no further negative ones.
  set_tolerance(
      counts, tolerance, 2 * counts.rounding + smallest.resolution,
      "twice the largest error bound of these eigenvalues, and what the search for missed ones resolves");
  for (const Eigenvalue& e : smallest.eigenvalues) {
    const bool negative = e.value < -std::max(counts.tolerance, e.error_bound);
    counts.negative += negative ? 1 : 0;
    counts.zero += e.converged && std::abs(e.value) <= counts.tolerance ? 1 : 0;
    counts.negative_within += negative && -e.value <= reach ? 1 : 0;
    counts.positive_within += e.value > counts.tolerance && e.value <= reach ? 1 : 0;
  }
  counts.reach = reach;
  // All eigenvalues below this are among the computed ones.
  double reached = -kInfinity;
  if (smallest.all_converged()) {
    if (static_cast<Index>(smallest.eigenvalues.size()) == size - removed)
      reached = kInfinity;
    else if (smallest.dense || (smallest.resolved && std::isfinite(smallest.no_more_beyond)))
      reached =
          smallest.eigenvalues.back().value - smallest.eigenvalues.back().error_bound - smallest.resolution;
  }
  counts.negative_exact = reached > -counts.tolerance;
  counts.zero_exact = reached > counts.tolerance;
  counts.within_exact = reached > std::max(reach, counts.tolerance);
  counts.positive = size - removed - counts.negative - counts.zero;
  counts.method = "from the " + std::to_string(smallest.eigenvalues.size()) + " smallest eigenvalues";
  counts.completeness =
      counts.exact() ? smallest.completeness
      : counts.negative_exact
          ? "negative ones: " + smallest.completeness +
                "; there may be more within the tolerance than the smallest eigenvalues show"
          : "at least so many: none of the smallest eigenvalues lies beyond the tolerance by more than what "
            "may have been missed next to it";
  return counts;
}

double space_reach(const SelfAdjointOperator& A, const Removal& remove, std::uint64_t seed) {
  return reach_of([&](const Vectors<double>& v, Vectors<double>& w) { A.apply(v, w); }, remove, A.rows(),
                  seed, 20);
}

double dense_counts_bytes(Index size) {
  return 8.0 * static_cast<double>(size) * static_cast<double>(size + 128);
}

}  // namespace basin
