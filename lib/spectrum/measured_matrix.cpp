#include "spectrum/measured_matrix.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "linalg/errors.h"
#include "linalg/random.h"

namespace basin {
namespace {

constexpr double kEps = std::numeric_limits<double>::epsilon();

/// Takes the mean of A and A^T, column by column and in place; the Frobenius norm of the difference.
double symmetrise(Vectors<double>& matrix) {
  Vector<double> asymmetries(matrix.cols());
  for (Index j = 0; j < matrix.cols(); ++j) {
    auto upper = matrix.col(j).head(j);
    auto left = matrix.row(j).head(j);
    const Vector<double> half = (upper - left.transpose()) / 2;
    asymmetries[j] = std::sqrt(2.0) * half.stableNorm();
    upper -= half;
    left = upper.transpose();
  }
  return asymmetries.stableNorm();
}

/// The Frobenius norm of the rounding error E of the assembled matrix of A, from its products with standard
/// normal vectors v: the mean of |E v|^2 is |E|_F^2.
double matrix_rounding(const SelfAdjointOperator& A, const SelfAdjointOperator* twin,
                       const Vectors<double>& matrix, std::uint64_t seed) {
  constexpr Index kProbes = 8;
  Vectors<double> V(A.cols(), kProbes);
  Random(seed, "rounding probes").fill_normal(V);
  return product_rounding(A, twin, V, matrix * V).stableNorm() / std::sqrt(static_cast<double>(kProbes));
}

}  // namespace

void check_finite(const Vectors<double>& products) {
  if (!products.allFinite())
    throw WorkError("a product of the operator is not finite: eigenvalues are not defined");
}

Vector<double> column_norms(const Vectors<double>& V) {
  Vector<double> norms(V.cols());
  for (Index j = 0; j < V.cols(); ++j) norms[j] = V.col(j).stableNorm();
  if (!norms.allFinite()) throw WorkError("a product of the operator overflows: eigenvalues are not defined");
  return norms;
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

void deflate(MeasuredMatrix& measured, const Removal& remove, double shift) {
  constexpr Index kColumns = 32;  // projected together
  Vectors<double>& A = measured.matrix;
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
  measured.rounding +=
      static_cast<double>(measured.size()) * (kEps * std::abs(shift) + std::numeric_limits<double>::min());
}

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

MeasuredMatrix measured_matrix(const SelfAdjointOperator& A, const SelfAdjointOperator* twin,
                               std::uint64_t seed, const Progress& progress) {
  const Index products_before = A.products();
  MeasuredMatrix result;
  result.matrix = assemble(A, progress);
  check_finite(result.matrix);
  result.asymmetry = symmetrise(result.matrix);
  result.rounding = matrix_rounding(A, twin, result.matrix, seed);
  result.products = A.products() - products_before;
  return result;
}

}  // namespace basin
