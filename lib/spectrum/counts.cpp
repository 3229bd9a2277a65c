#include "spectrum/counts.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <sstream>

#include "linalg/dense.h"
#include "linalg/errors.h"

namespace basin {
namespace {

constexpr double kEps = std::numeric_limits<double>::epsilon();
constexpr Index kColumns = 32;  // vectors that are projected together

/// |A| of a symmetric matrix by some steps of the power method.
double spectral_norm(const Vectors<double>& A) {
  Vectors<double> x = Vectors<double>::Ones(A.rows(), 1);
  for (Index i = 0; i < x.rows(); ++i)
    x(i, 0) = 1 + 0.1 * static_cast<double>(i % 7);  // no special direction
  double norm = A.cwiseAbs().maxCoeff();             // a lower bound
  for (int step = 0; step < 20; ++step) {
    x /= x.norm();
    const Vectors<double> y = A.selfadjointView<Eigen::Lower>() * x;
    const double growth = y.stableNorm();
    if (growth == 0) break;
    norm = std::max(norm, growth);
    x = y / growth;
  }
  return norm;
}

/// A = (I - Pi) A (I - Pi) + shift Pi, in place.
void deflate(Vectors<double>& A, const Removal& remove, double shift) {
  for (int side = 0; side < 2; ++side) {
    for (Index j = 0; j < A.cols(); j += kColumns) remove(A.middleCols(j, std::min(kColumns, A.cols() - j)));
    A.transposeInPlace();
  }
  for (Index j = 0; j < A.cols(); j += kColumns) {
    const Index k = std::min(kColumns, A.cols() - j);
    Vectors<double> unit = Vectors<double>::Zero(A.rows(), k);
    unit.middleRows(j, k).setIdentity();
    Vectors<double> rest = unit;
    remove(rest);
    A.middleCols(j, k) += shift * (unit - rest);
  }
}

/// The inertia of A - shift I. The upper triangle of A holds the matrix, `diagonal` its diagonal; the lower
/// triangle is working memory.
Inertia shifted_inertia(Vectors<double>& A, const Vector<double>& diagonal, double shift) {
  for (Index j = 0; j < A.cols(); ++j) {
    A.col(j).tail(A.rows() - j - 1) = A.row(j).tail(A.cols() - j - 1).transpose();
    A(j, j) = diagonal[j] - shift;
  }
  return inertia(A);
}

std::string text(double value) {
  std::ostringstream out;
  out.precision(3);
  out << value;
  return out.str();
}

}  // namespace

EigenvalueCounts dense_counts(MeasuredMatrix measured, const Removal& remove, Index removed,
                              double tolerance) {
  Vectors<double>& A = measured.matrix;
  EigenvalueCounts counts;
  counts.size = measured.size();
  counts.removed = removed;
  const double norm = spectral_norm(A);
  counts.rounding = measured.asymmetry + measured.rounding + static_cast<double>(counts.size) * kEps * norm;
  counts.tolerance = tolerance > 0 ? tolerance : counts.rounding;
  counts.tolerance_reason = tolerance > 0 ? "as given"
                                          : "rounding at this point: asymmetry " + text(measured.asymmetry) +
                                                ", distance to the twin's matrix " + text(measured.rounding) +
                                                ", P eps |A|";
  if (removed > 0) deflate(A, remove, norm > 0 ? norm + 2 * counts.tolerance : 1 + 2 * counts.tolerance);
  const Vector<double> diagonal = A.diagonal();
  counts.negative = shifted_inertia(A, diagonal, -counts.tolerance).negative;
  counts.positive = shifted_inertia(A, diagonal, counts.tolerance).positive - removed;
  counts.zero = counts.size - removed - counts.negative - counts.positive;
  counts.method = "inertia of two shifted factorisations (LAPACK dsytrf_rook) of the assembled matrix";
  counts.completeness = "exact, but for eigenvalues within " + text(counts.rounding) + " of the tolerance";
  return counts;
}

EigenvalueCounts krylov_counts(const EigenResult& smallest, Index size, Index removed, double tolerance) {
  EigenvalueCounts counts;
  counts.size = size;
  counts.removed = removed;
  for (const Eigenvalue& e : smallest.eigenvalues) counts.rounding = std::max(counts.rounding, e.error_bound);
  counts.tolerance = tolerance > 0 ? tolerance : counts.rounding;
  counts.tolerance_reason = tolerance > 0 ? "as given" : "the largest error bound of these eigenvalues";
  bool beyond_negative = false, beyond_zero = false;
  for (const Eigenvalue& e : smallest.eigenvalues) {
    counts.negative += e.value < -counts.tolerance ? 1 : 0;
    counts.zero += std::abs(e.value) <= counts.tolerance ? 1 : 0;
    beyond_negative = beyond_negative || e.value >= -counts.tolerance;
    beyond_zero = beyond_zero || e.value > counts.tolerance;
  }
  const bool converged = smallest.all_converged();
  counts.negative_exact = beyond_negative && converged;
  counts.zero_exact = beyond_zero && converged;
  counts.positive = size - removed - counts.negative - counts.zero;
  counts.method = "from the " + std::to_string(smallest.eigenvalues.size()) + " smallest eigenvalues";
  counts.completeness =
      counts.exact() ? smallest.completeness
      : counts.negative_exact
          ? "negative ones: " + smallest.completeness +
                "; there may be more within the tolerance than the smallest eigenvalues show"
          : "at least so many: all of the smallest eigenvalues that were computed count";
  return counts;
}

RestrictedCurvature restricted_curvature(const SelfAdjointOperator& A, const Removal& remove, Index removed,
                                         const RestrictedOptions& options, const Progress& progress) {
  const Index size = A.rows(), left = size - removed;
  if (left < 1) throw InputError("restricted_curvature: symmetry leaves nothing of the space");
  RestrictedCurvature result;
  const double norm = norm_estimate(A, options.eigen.seed);
  const double shift = norm > 0 ? 1.5 * norm : 1;
  const DeflatedOperator restricted(A, remove, shift);
  EigenOptions eigen = options.eigen;
  std::unique_ptr<const DeflatedOperator> twin;
  if (eigen.twin) {
    twin = std::make_unique<DeflatedOperator>(*eigen.twin, remove, shift);
    eigen.twin = twin.get();
  }
  const bool dense = size <= options.dense_limit;
  const EigenResult smallest = extreme_eigenpairs(restricted, End::smallest,
                                                  dense ? 1 : std::min(options.pairs, left), eigen, progress);
  result.counts = dense ? dense_counts(measured_matrix(A, options.eigen.twin, options.eigen.seed), remove,
                                       removed, options.tolerance)
                        : krylov_counts(smallest, size, removed, options.tolerance);
  result.smallest = smallest.eigenvalues.front();
  result.direction = smallest.eigenvectors.col(0);
  result.completeness = smallest.completeness;
  return result;
}

double dense_counts_bytes(Index size) {
  return 8.0 * static_cast<double>(size) * static_cast<double>(size + 4 * kColumns);
}

}  // namespace basin
