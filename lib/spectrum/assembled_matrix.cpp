#include "basin/spectrum/assembled_matrix.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "basin/linalg/errors.h"
#include "basin/linalg/random.h"
#include "basin/linalg/sums.h"

namespace basin {
namespace {

/// Takes the mean of A and A^T, column by column and in place; the norms of the rows of half the difference.
Vector<double> symmetrise(Vectors<double>& matrix) {
  const double largest = matrix.cwiseAbs().maxCoeff(), scale = largest > 0 ? largest : 1;
  Vector<double> squares = Vector<double>::Zero(matrix.rows());  // relative to the largest entry
  for (Index j = 0; j < matrix.cols(); ++j) {
    auto upper = matrix.col(j).head(j);
    auto left = matrix.row(j).head(j);
    const Vector<double> half = (upper - left.transpose()) / 2;
    const Vector<double> share = (half / scale).cwiseAbs2();
    squares.head(j) += share;
    squares[j] += share.sum();
    upper -= half;
    left = upper.transpose();
  }
  return scale * squares.cwiseSqrt();
}

/// How far apart two evaluations of A V are, times the allowance, given one of them.
Vectors<double> differences(const SelfAdjointOperator& A, const SelfAdjointOperator* perturbed,
                            const Vectors<double>& V, const Vectors<double>& AV) {
  constexpr double c = 0.7, kAllowance = 4;
  Vectors<double> again(AV.rows(), AV.cols());
  if (perturbed) {
    perturbed->apply(V, again);
  } else {
    A.apply(c * V, again);
    again /= c;
  }
  return kAllowance * (again - AV);
}

Vectors<double> rounding_probes(Index size, std::uint64_t seed) {
  constexpr Index kProbes = 8;
  Vectors<double> V(size, kProbes);
  Random(seed, "rounding probes").fill_normal(V);
  return V;
}

/// The norm of each row of the rounding error E of A, from products with standard normal vectors v: the mean
/// of (E v)_i^2 is the square of the norm of row i.
Vector<double> row_norms(const SelfAdjointOperator& A, const Vectors<double>& EV) {
  return (column_norms(EV.transpose()) / std::sqrt(static_cast<double>(EV.cols()))).array() + A.underflow();
}

/// The trace of E from the same products: v^T E v has the mean tr E and the variance 2 |E|^2, so that the
/// mean of eight has the standard deviation |E| / 2. Three of them, or the sum of the norms of all rows where
/// it is less.
double trace_rounding(const SelfAdjointOperator& A, const Vectors<double>& V, const Vectors<double>& EV,
                      const Vector<double>& rows) {
  const double mean = V.cwiseProduct(EV).sum() / static_cast<double>(V.cols()),
               cancelling = std::abs(mean) + 1.5 * rows.stableNorm() +
                            static_cast<double>(rows.size()) * A.underflow();
  return std::fmin(cancelling, rows.sum());  // the other one, if this is not finite
}

}  // namespace

void check_finite(const Vectors<double>& products) {
  if (!products.allFinite())
    throw WorkError("a product of the operator is not finite: eigenvalues are not defined");
}

Vector<double> column_norms(const Vectors<double>& V) {
  Vector<double> lengths = norms(V);
  if (!lengths.allFinite())
    throw WorkError("a product of the operator overflows: eigenvalues are not defined");
  return lengths;
}

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

void deflate(AssembledMatrix& assembled, const Removal& remove, double shift) {
  constexpr Index kColumns = 32;  // projected together
  Vectors<double>& A = assembled.matrix;
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
  assembled.rounding +=
      static_cast<double>(assembled.size()) * (kEps * std::abs(shift) + std::numeric_limits<double>::min());
}

Vector<double> product_rounding(const SelfAdjointOperator& A, const SelfAdjointOperator* perturbed,
                                const Vectors<double>& V, const Vectors<double>& AV) {
  return column_norms(differences(A, perturbed, V, AV)) + A.underflow() * column_norms(V);
}

Vector<double> row_rounding(const SelfAdjointOperator& A, const SelfAdjointOperator* perturbed,
                            std::uint64_t seed) {
  const Vectors<double> V = rounding_probes(A.cols(), seed);
  Vectors<double> AV(A.rows(), V.cols());
  A.apply(V, AV);
  check_finite(AV);
  return row_norms(A, differences(A, perturbed, V, AV));
}

AssembledMatrix assembled_matrix(const SelfAdjointOperator& A, const SelfAdjointOperator* perturbed,
                                 std::uint64_t seed, const Progress& progress) {
  const Index products_before = A.products();
  AssembledMatrix result;
  result.matrix = assemble(A, progress);
  check_finite(result.matrix);
  const Vector<double> asymmetries = symmetrise(result.matrix);
  const Vectors<double> V = rounding_probes(A.cols(), seed);
  const Vectors<double> EV = differences(A, perturbed, V, result.matrix * V);
  const Vector<double> rounding = row_norms(A, EV);
  result.asymmetry = asymmetries.stableNorm();
  result.rounding = rounding.stableNorm();
  result.row_errors = asymmetries + rounding;
  result.trace_error = trace_rounding(A, V, EV, rounding);
  result.products = A.products() - products_before;
  return result;
}

}  // namespace basin
