#include "linalg/definite.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "linalg/block_krylov.h"
#include "linalg/errors.h"
#include "linalg/lapack.h"

namespace basin {
namespace {

// Beyond this power of two squares of the matrix would under- or overflow: it is scaled first.
constexpr int kLargestExponent = 250;

/// The lower Cholesky factor of sign A + shift I in place of A; false if there is none, or A has NaN in it.
bool factorise(Vectors<double>& A, double sign, double shift) {
  if (sign < 0) A = -A;
  A.diagonal().array() += shift;
  return lapack::potrf(A) == 0;
}

}  // namespace

DefiniteEigenvalues definite_eigenvalues(const Vectors<double>& A, std::uint64_t seed) {
  const Index n = A.rows();
  if (n == 0 || A.cols() != n) throw InputError("definite_eigenvalues: the matrix is not square, or empty");
  const double size = A.diagonal().maxCoeff();
  if (size > 0 && std::isfinite(size) && std::abs(std::ilogb(size)) > kLargestExponent) {
    const int exponent = std::max(std::ilogb(size), -1000);  // 2^-exponent must be finite
    DefiniteEigenvalues scaled = definite_eigenvalues(A * std::ldexp(1.0, -exponent), seed);
    for (EnclosedEigenvalue* e : {&scaled.smallest, &scaled.largest})
      for (double* x : {&e->value, &e->lower, &e->upper}) *x = std::ldexp(*x, exponent);
    return scaled;
  }
  const auto lower = A.selfadjointView<Eigen::Lower>();
  const double trace = A.diagonal().sum();
  double squares = -A.diagonal().squaredNorm();  // |A|_F^2
  for (Index j = 0; j < n; ++j) squares += 2 * A.col(j).tail(n - j).squaredNorm();
  const double norm = std::sqrt(squares);
  // Backward error of a Cholesky factorisation that ran through, and rounding of a Rayleigh quotient.
  const double factorisation = static_cast<double>(n + 2) * kEps * trace;
  const double quotient = static_cast<double>(n + 2) * kEps * norm;

  DefiniteEigenvalues result;
  const RitzPairs top =
      largest_ritz_pairs(n, seed, [&](const Vectors<double>& V) { return Vectors<double>(lower * V); });
  const double t = top.values[0];
  // |C|_F^2 = |A|_F^2 - 2 |R|_F^2 - sum theta_i^2 in the coordinates of the Ritz vectors and their
  // complement.
  double found = 0;
  const double rounding = 4 * static_cast<double>(n + 2) * kEps;
  const double bound = bound_largest(top, [&](Index r, double coupling) {
    found += top.values[r - 1] * top.values[r - 1];
    return std::sqrt(std::max(0.0, squares * (1 + rounding) - found - 2 * coupling));
  });
  const double trace_bound = trace * (1 + rounding);
  result.largest = {t, t - quotient, std::min(trace_bound, bound * (1 + rounding))};
  Vectors<double> work;
  for (const double allowance : {1e-8, 1e-4}) {
    if (result.largest.upper <= t * (1 + 1e-4)) break;
    work = A;
    const double shift = t * (1 + allowance);
    if (!factorise(work, -1, shift)) continue;
    result.largest.upper = std::min(
        trace_bound,
        shift + factorisation + static_cast<double>(n + 2) * kEps * (shift * static_cast<double>(n) - trace));
  }

  Vectors<double> factor = A;
  result.smallest.upper = A.diagonal().minCoeff() + quotient;
  result.smallest.value = std::max(0.0, A.diagonal().minCoeff());
  // The smallest pivot is no smaller than the smallest eigenvalue: where rounding decides on it, a vector for
  // the upper bound comes from a matrix that is shifted as far, as solving with the factor itself may
  // overflow.
  if (!factorise(factor, 1, 0) || !(factor.diagonal().array().square().minCoeff() > factorisation)) {
    factor = A;
    if (!factorise(factor, 1, 2 * factorisation)) return result;
  }
  const RitzPairs bottom = largest_ritz_pairs(n, seed, [&](const Vectors<double>& V) {
    Vectors<double> out = V;
    lapack::potrs(factor, out);
    result.solves += V.cols();
    return out;
  });
  const Vector<double> x = bottom.vector.normalized(), Ax = lower * x;
  const double value = x.dot(Ax);
  result.smallest = {value, -factorisation, value + quotient};
  for (const double allowance : {1e-6, 1e-3, 0.5}) {
    const double s = value * (1 - allowance) - 2 * factorisation;
    if (!(s > factorisation)) break;
    work = A;
    if (!factorise(work, 1, -s)) continue;
    result.smallest.lower = s - factorisation;
    break;
  }
  result.definite = result.smallest.lower > 0;
  return result;
}

}  // namespace basin
