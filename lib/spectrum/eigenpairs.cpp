#include "spectrum/eigenpairs.h"

#include <Spectra/SymEigsSolver.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
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

/// Norms without overflow or underflow of the squares: a loss may have any scale.
Vector<double> column_norms(const Vectors<double>& V) {
  Vector<double> norms(V.cols());
  for (Index j = 0; j < V.cols(); ++j) norms[j] = V.col(j).stableNorm();
  if (!norms.allFinite()) throw WorkError("a product of the operator overflows: eigenvalues are not defined");
  return norms;
}

/// A lower estimate of |A|, right to a few per cent or better: some steps of the power method. It only sets
/// scales.
double norm_estimate(const SelfAdjointOperator& A, std::uint64_t seed) {
  constexpr int kSteps = 12;
  Vectors<double> x(A.cols(), 1), y(A.cols(), 1);
  Random(seed, "norm estimate").fill_normal(x);
  x /= x.norm();
  double norm = 0;
  for (int step = 0; step < kSteps; ++step) {
    A.apply(x, y);
    check_finite(y);
    const double growth = column_norms(y)[0];
    if (growth == 0) break;
    norm = std::max(norm, growth);
    x = y / growth;
  }
  return norm;
}

/// For each column of V, an allowance for the rounding error of A v, given AV: four times the distance from
/// another evaluation of the same product, one sample of that error. It is the twin's, or else A (c v) / c
/// with c no power of two, which rounds differently in every operation.
Vector<double> product_rounding(const SelfAdjointOperator& A, const SelfAdjointOperator* twin,
                                const Vectors<double>& V, const Vectors<double>& AV) {
  constexpr double c = 0.7, kAllowance = 4;
  Vectors<double> again(AV.rows(), AV.cols());
  if (twin) {
    twin->apply(V, again);
  } else {
    A.apply(c * V, again);
    again /= c;
  }
  return kAllowance * column_norms(again - AV);
}

/// The Frobenius norm of the rounding error E of the assembled matrix of A, from its products with standard
/// normal vectors v: the mean of |E v|^2 is |E|_F^2.
double matrix_rounding(const SelfAdjointOperator& A, const Vectors<double>& matrix,
                       const EigenOptions& options) {
  constexpr Index kProbes = 8;
  Vectors<double> V(A.cols(), kProbes);
  Random(options.seed, "rounding probes").fill_normal(V);
  return product_rounding(A, options.twin, V, matrix * V).stableNorm() /
         std::sqrt(static_cast<double>(kProbes));
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

/// Spectra's solver, which hands out converged pairs only, with a way to all of its Ritz vectors.
class Lanczos : public Spectra::SymEigsSolver<ScaledShift> {
 public:
  using SymEigsSolver::SymEigsSolver;

  /// The Ritz vectors of the k outermost Ritz values, converged or not: unit columns.
  Vectors<double> outermost_ritz_vectors(End end, basin::Index k) const {
    const SymmetricEigen projected = symmetric_eigen(m_fac.matrix_H(), true);
    Vectors<double> X = m_fac.matrix_V() * (end == End::largest ? projected.vectors.rightCols(k)
                                                                : projected.vectors.leftCols(k));
    X.colwise().normalize();
    return X;
  }
};

/// Twice the wanted number and some: Spectra's own advice, with room for clusters.
Index krylov_size(Index count) {
  return std::max<Index>(2 * count + 10, 24);
}

bool solved_densely(Index size, Index count) {
  return krylov_size(count) >= size / 2;
}

/// Records of the unit vectors X from fresh products, outermost first; X is put in the same order.
std::vector<Eigenvalue> measured_eigenvalues(const SelfAdjointOperator& A, End end,
                                             const EigenOptions& options, double norm, Vectors<double>& X) {
  Vectors<double> AX(A.rows(), X.cols());
  A.apply(X, AX);
  check_finite(AX);
  const Vector<double> values = X.cwiseProduct(AX).colwise().sum();
  const Vector<double> residuals = column_norms(AX - X * values.asDiagonal());
  const Vector<double> rounding = product_rounding(A, options.twin, X, AX);
  std::vector<Index> order(X.cols());
  std::iota(order.begin(), order.end(), Index{0});
  std::stable_sort(order.begin(), order.end(), [&](Index a, Index b) {
    return end == End::largest ? values[a] > values[b] : values[a] < values[b];
  });
  std::vector<Eigenvalue> records;
  for (const Index j : order)
    records.push_back(
        {values[j], residuals[j], residuals[j] + rounding[j], residuals[j] <= options.tolerance * norm});
  X = X(Eigen::all, order).eval();
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
  full.requested = full.converged = k;
  return full;
}

}  // namespace

EigenResult extreme_eigenpairs(const SelfAdjointOperator& A, End end, Index count,
                               const EigenOptions& options, const Progress& progress) {
  const Index size = A.rows();
  if (count < 1 || count > size)
    throw InputError("number of eigenpairs: expected 1 to " + std::to_string(size) + ", found " +
                     std::to_string(count));
  if (solved_densely(size, count)) return outermost(full_spectrum(A, true, options, progress), end, count);

  EigenResult result;
  result.requested = count;
  const Index products_before = A.products(), krylov = krylov_size(count);
  std::ostringstream method;
  const double norm = norm_estimate(A, options.seed);
  if (norm == 0) {
    result.eigenvectors = Vectors<double>::Identity(size, count);
    method << "power method: the operator maps a random vector to zero";
    result.completeness = "an operator that maps a random vector to zero is zero with probability one";
  } else {
    const Index limit = krylov + options.max_restarts * (krylov - count);
    ScaledShift op(A, norm, limit, progress);
    Lanczos solver(op, count, krylov);
    Vector<double> start(size);
    Random(options.seed, "Lanczos start").fill_normal(start);
    solver.init(start.data());
    const auto rule = end == End::largest ? Spectra::SortRule::LargestAlge : Spectra::SortRule::SmallestAlge;
    // A third of the tolerance for the recurrence; the residual computed afresh decides.
    solver.compute(rule, options.max_restarts, options.tolerance / 3, rule);
    result.eigenvectors = solver.outermost_ritz_vectors(end, count);
    method << "Spectra, thick-restarted Lanczos with a space of " << krylov << " vectors, "
           << solver.num_iterations() << " iterations; tolerance " << options.tolerance << " |A|, |A| about "
           << norm;
    result.completeness =
        "Krylov space of one start vector: each value is near an eigenvalue within its bound, but further "
        "copies of "
        "a repeated eigenvalue, or one further out that the start vector hardly contains, may be missing";
  }
  result.method = method.str();
  result.eigenvalues = measured_eigenvalues(A, end, options, norm, result.eigenvectors);
  for (const Eigenvalue& e : result.eigenvalues) result.converged += e.converged ? 1 : 0;
  result.products = A.products() - products_before;
  if (!result.all_converged())
    result.completeness = "not converged: " + std::to_string(result.converged) + " of " +
                          std::to_string(count) + " pairs after " + std::to_string(result.products) +
                          " products; there may be eigenvalues further out";
  return result;
}

EigenResult full_spectrum(const SelfAdjointOperator& A, bool with_vectors, const EigenOptions& options,
                          const Progress& progress) {
  EigenResult result;
  const Index size = A.rows(), products_before = A.products();
  Vectors<double> matrix = assemble(A, progress);
  check_finite(matrix);
  Vector<double> asymmetries(size);  // column by column and in place, so that no further matrix is needed
  for (Index j = 0; j < size; ++j) {
    auto upper = matrix.col(j).head(j);
    auto left = matrix.row(j).head(j);
    const Vector<double> half = (upper - left.transpose()) / 2;
    asymmetries[j] = std::sqrt(2.0) * half.stableNorm();
    upper -= half;
    left = upper.transpose();
  }
  const double rounding = matrix_rounding(A, matrix, options);
  SymmetricEigen eigen = symmetric_eigen(matrix, with_vectors);
  const Vector<double>& values = eigen.values;
  const double bound =
      asymmetries.stableNorm() + static_cast<double>(size) * kEps * values.cwiseAbs().maxCoeff() + rounding;
  Vector<double> residuals = Vector<double>::Constant(size, kNaN);
  if (with_vectors) {
    residuals = column_norms(matrix * eigen.vectors - eigen.vectors * values.asDiagonal());
    result.eigenvectors = std::move(eigen.vectors);
  }
  for (Index i = 0; i < size; ++i) result.eigenvalues.push_back({values[i], residuals[i], bound, true});
  result.requested = result.converged = size;
  result.products = A.products() - products_before;
  result.dense = true;
  result.method = "dense, LAPACK dsyevd on the assembled matrix";
  result.completeness = "complete: all " + std::to_string(size) + " eigenvalues with their multiplicities";
  return result;
}

double full_spectrum_bytes(Index size, bool with_vectors) {
  // The matrix and the solver's copy; with vectors also dsyevd's workspace of two matrices.
  return 8.0 * static_cast<double>(size) * static_cast<double>(size) * (with_vectors ? 4.5 : 2);
}

double extreme_eigenpairs_bytes(Index size, Index count) {
  if (solved_densely(size, count)) return full_spectrum_bytes(size, true);
  // The Krylov basis, twice while it is compressed; pairs, products and residuals.
  return 8.0 * static_cast<double>(size) * static_cast<double>(2 * krylov_size(count) + 5 * count);
}

}  // namespace basin
