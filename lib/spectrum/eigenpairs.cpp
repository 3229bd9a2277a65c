#include "spectrum/eigenpairs.h"

#include <Spectra/SymEigsSolver.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <sstream>

#include "linalg/dense.h"
#include "linalg/errors.h"
#include "linalg/random.h"

namespace basin {
namespace {

constexpr double kEps = std::numeric_limits<double>::epsilon();
constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

void check_finite(const Vectors<double>& products) {
  if (!products.allFinite())
    throw WorkError("a product of the operator is not finite: eigenvalues are not defined");
}

/// A lower estimate of |A|, right to a few per cent or better: some steps of the power method. It only sets
/// scales.
double norm_estimate(const SelfAdjointOperator& A, std::uint64_t seed) {
  constexpr int kSteps = 12;
  Vectors<double> x(A.cols(), 1), y(A.cols(), 1);
  Random(seed, "norm estimate").fill_normal(x);
  double norm = 0;
  for (int step = 0; step < kSteps && x.norm() > 0; ++step) {
    x /= x.norm();
    A.apply(x, y);
    check_finite(y);
    norm = std::max(norm, y.norm());
    x = y;
  }
  return norm;
}

/// What Spectra multiplies by: B = A / s + 2 I with s about |A|. Its eigenvalues lie around [1, 3], so that
/// Spectra's tolerance, relative to each eigenvalue, is relative to |A|, also for eigenvalues at zero.
class ScaledShift {
 public:
  using Scalar = double;
  ScaledShift(const SelfAdjointOperator& A, double scale, Index limit, const Progress& progress)
      : A_(A), scale_(scale), limit_(limit), progress_(progress) {}
  Index rows() const { return A_.rows(); }
  Index cols() const { return A_.cols(); }
  void perform_op(const double* x, double* y) const {
    const Eigen::Map<const Vectors<double>> in(x, cols(), 1);
    Eigen::Map<Vectors<double>> out(y, rows(), 1);
    product_.resize(rows(), 1);
    A_.apply(in, product_);
    check_finite(product_);
    out = product_ / scale_ + 2 * in;
    report(progress_, std::min(++done_, limit_), limit_);
  }

 private:
  const SelfAdjointOperator& A_;
  double scale_;
  Index limit_;
  const Progress& progress_;
  mutable Vectors<double> product_;
  mutable Index done_ = 0;
};

/// Residuals and bounds of unit vectors X with Rayleigh quotients, from fresh products.
///
/// The rounding of a product is measured, not guessed: A (c x) / c with c no power of two rounds differently
/// everywhere, and its distance from A x is of the size of the rounding error; four times it is the
/// allowance.
std::vector<Eigenvalue> measured_eigenvalues(const SelfAdjointOperator& A, const Vectors<double>& X,
                                             double tolerance_norm) {
  constexpr double c = 0.7, kAllowance = 4;
  Vectors<double> AX(A.rows(), X.cols()), again(A.rows(), X.cols());
  A.apply(X, AX);
  A.apply(c * X, again);
  check_finite(AX);
  std::vector<Eigenvalue> records;
  for (Index j = 0; j < X.cols(); ++j) {
    const double value = X.col(j).dot(AX.col(j));
    const double residual = (AX.col(j) - value * X.col(j)).norm();
    const double rounding = kAllowance * (again.col(j) / c - AX.col(j)).norm();
    records.push_back({value, residual, residual + rounding, residual <= tolerance_norm});
  }
  return records;
}

/// The k outermost pairs of a full spectrum.
EigenResult outermost(EigenResult full, End end, Index k) {
  const Index size = static_cast<Index>(full.eigenvalues.size());
  if (end == End::largest) {
    std::reverse(full.eigenvalues.begin(), full.eigenvalues.end());
    full.eigenvectors = full.eigenvectors.rowwise().reverse().eval();
  }
  full.eigenvalues.resize(k);
  full.eigenvectors.conservativeResize(size, k);
  full.requested = k;
  return full;
}

}  // namespace

bool EigenResult::all_converged() const {
  return static_cast<Index>(eigenvalues.size()) == requested &&
         std::all_of(eigenvalues.begin(), eigenvalues.end(), [](const Eigenvalue& e) { return e.converged; });
}

EigenResult extreme_eigenpairs(const SelfAdjointOperator& A, End end, Index count,
                               const EigenOptions& options, const Progress& progress) {
  const Index size = A.rows();
  if (count < 1 || count > size)
    throw InputError("number of eigenpairs: expected 1 to " + std::to_string(size) + ", found " +
                     std::to_string(count));
  // Twice the wanted number and some: Spectra's own advice, with room for clusters.
  const Index krylov = std::max<Index>(2 * count + 10, 24);
  if (krylov >= size / 2) return outermost(full_spectrum(A, true, progress), end, count);

  EigenResult result;
  result.requested = count;
  const Index products_before = A.products();
  const double norm = norm_estimate(A, options.seed);
  if (norm == 0) {  // almost surely A = 0; the residuals say so
    const Vectors<double> X = Vectors<double>::Identity(size, count);
    result.eigenvalues = measured_eigenvalues(A, X, 0);
    result.eigenvectors = X;
    result.method = "power method: the operator maps a random vector to zero";
    result.completeness = "an operator that maps a random vector to zero is zero with probability one";
    result.products = A.products() - products_before;
    return result;
  }
  const Index limit = krylov + options.max_restarts * (krylov - count);
  ScaledShift op(A, norm, limit, progress);
  Spectra::SymEigsSolver<ScaledShift> solver(op, count, krylov);
  Vector<double> start(size);
  Random(options.seed, "Lanczos start").fill_normal(start);
  solver.init(start.data());
  const auto rule = end == End::largest ? Spectra::SortRule::LargestAlge : Spectra::SortRule::SmallestAlge;
  // A third of the tolerance for the recurrence, the rest for the residual computed afresh.
  const Index converged = solver.compute(rule, options.max_restarts, options.tolerance / 3, rule);

  result.eigenvectors = solver.eigenvectors();
  if (result.eigenvectors.cols() > 0) {
    result.eigenvectors.colwise().normalize();
    result.eigenvalues = measured_eigenvalues(A, result.eigenvectors, options.tolerance * norm);
  }
  result.products = A.products() - products_before;

  std::ostringstream method, completeness;
  method << "Spectra, thick-restarted Lanczos with a space of " << krylov << " vectors, "
         << solver.num_iterations() << " iterations; tolerance " << options.tolerance << " |A|, |A| about "
         << norm;
  if (converged < count)
    completeness << "not converged: " << converged << " of " << count << " pairs after "
                 << solver.num_iterations()
                 << " iterations; those missing may lie further out than those found";
  else
    completeness
        << "Krylov space of one start vector: each value is near an eigenvalue within its bound, but further "
           "copies of a repeated eigenvalue may be missing";
  result.method = method.str();
  result.completeness = completeness.str();
  return result;
}

EigenResult full_spectrum(const SelfAdjointOperator& A, bool with_vectors, const Progress& progress) {
  EigenResult result;
  const Index size = A.rows(), products_before = A.products();
  Vectors<double> matrix = assemble(A, progress);
  check_finite(matrix);
  // In place, so that no third matrix is needed.
  double asymmetry = 0;
  for (Index j = 0; j < size; ++j)
    for (Index i = 0; i < j; ++i) {
      const double mean = (matrix(i, j) + matrix(j, i)) / 2;
      asymmetry += 2 * std::pow(matrix(i, j) - mean, 2);
      matrix(i, j) = matrix(j, i) = mean;
    }
  asymmetry = std::sqrt(asymmetry);

  SymmetricEigen eigen = symmetric_eigen(matrix, with_vectors);
  const Vector<double>& values = eigen.values;
  const double norm = values.cwiseAbs().maxCoeff();
  const double bound = asymmetry + static_cast<double>(size) * kEps * norm;
  Vector<double> residuals = Vector<double>::Constant(size, kNaN);
  if (with_vectors) {
    result.eigenvectors = std::move(eigen.vectors);
    const Vectors<double> R = matrix * result.eigenvectors - result.eigenvectors * values.asDiagonal();
    residuals = R.colwise().norm();
  }
  for (Index i = 0; i < size; ++i) result.eigenvalues.push_back({values[i], residuals[i], bound, true});
  result.requested = size;
  result.products = A.products() - products_before;
  result.method = "dense, LAPACK dsyevd on the assembled matrix";
  result.completeness = "complete: all " + std::to_string(size) + " eigenvalues with their multiplicities";
  return result;
}

}  // namespace basin
