#include "linalg/definite.h"

#include <lapacke.h>

#include <algorithm>
#include <limits>

#include "linalg/dense.h"
#include "linalg/errors.h"
#include "linalg/random.h"

namespace basin {
namespace {

constexpr double kEps = std::numeric_limits<double>::epsilon();
constexpr Index kBlock = 4, kMaxVectors = 160;
// A Ritz vector whose residual is so small, relative to its value, has an eigenvalue right to its square.
constexpr double kResidual = 1e-5;

/// The lower Cholesky factor of A + shift I in place of A; false if there is none.
bool factorise(Vectors<double>& A, double sign, double shift) {
  if (sign < 0) A = -A;
  A.diagonal().array() += shift;
  const auto n = static_cast<lapack_int>(A.rows());
  return LAPACKE_dpotrf(LAPACK_COL_MAJOR, 'L', n, A.data(), n) == 0;
}

struct RitzPair {
  double value = 0;  ///< largest of the operator
  Vector<double> vector;
};

/// Adds the part of V that is orthogonal to the basis Q(:, 0 .. size), as orthonormal columns.
void append(Vectors<double>& Q, Index size, Vectors<double> V) {
  for (int pass = 0; pass < 2; ++pass) {
    V -= Q.leftCols(size) * (Q.leftCols(size).transpose() * V);
    for (Index j = 0; j < V.cols(); ++j) {
      for (Index i = 0; i < j; ++i) V.col(j) -= V.col(i).dot(V.col(j)) * V.col(i);
      const double norm = V.col(j).norm();
      if (norm > 0) V.col(j) /= norm;
    }
  }
  Q.middleCols(size, V.cols()) = V;
}

/// The largest eigenpair of a definite operator on a block Krylov space. `apply` multiplies a block.
template <class Apply>
RitzPair largest_pair(Index n, std::uint64_t seed, const Apply& apply) {
  const Index block = n < kMaxVectors ? 1 : kBlock, limit = std::min(n, kMaxVectors);
  Vectors<double> Q(n, limit + block), AQ(n, limit + block), start(n, block);
  Random(seed, "definite_eigenvalues").fill_normal(start);
  append(Q, 0, start);
  RitzPair best;
  for (Index size = block;; size += block) {
    AQ.middleCols(size - block, block) = apply(Q.middleCols(size - block, block));
    Vectors<double> T = Q.leftCols(size).transpose() * AQ.leftCols(size);
    T = (0.5 * (T + T.transpose())).eval();
    const SymmetricEigen ritz = symmetric_eigen(T, true);
    const Vector<double> s = ritz.vectors.col(size - 1);
    best = {ritz.values[size - 1], Q.leftCols(size) * s};
    const double residual = (AQ.leftCols(size) * s - best.value * best.vector).norm();
    if (residual <= kResidual * std::abs(best.value) || size + block > limit) return best;
    append(Q, size, AQ.middleCols(size - block, block));
  }
}

}  // namespace

DefiniteEigenvalues definite_eigenvalues(const Vectors<double>& A, std::uint64_t seed) {
  const Index n = A.rows();
  if (n == 0 || A.cols() != n) throw InputError("definite_eigenvalues: the matrix is not square, or empty");
  const auto lower = A.selfadjointView<Eigen::Lower>();
  const double trace = A.diagonal().sum(),
               norm = Vectors<double>(A.triangularView<Eigen::Lower>()).norm() * 1.5;
  // Backward error of a Cholesky factorisation that ran through, and rounding of a Rayleigh quotient.
  const double factorisation = static_cast<double>(n + 2) * kEps * trace;
  const double quotient = static_cast<double>(n + 2) * kEps * norm;

  DefiniteEigenvalues result;
  const RitzPair top = largest_pair(n, seed, [&](const auto& V) { return Vectors<double>(lower * V); });
  result.largest = {top.value, top.value - quotient, trace};
  Vectors<double> work = A;
  for (const double allowance : {1e-8, 1e-4}) {
    const double t = top.value * (1 + allowance);
    work = A;
    if (!factorise(work, -1, t)) continue;
    result.largest.upper =
        std::min(trace, t + factorisation + static_cast<double>(n + 2) * kEps * (t * n - trace));
    break;
  }

  Vectors<double> factor = A;
  result.smallest.upper = A.diagonal().minCoeff() + quotient;
  result.smallest.value = std::max(0.0, A.diagonal().minCoeff());
  if (!factorise(factor, 1, 0)) return result;
  const RitzPair bottom = largest_pair(n, seed, [&](const auto& V) {
    Vectors<double> out = V;
    LAPACKE_dpotrs(LAPACK_COL_MAJOR, 'L', static_cast<lapack_int>(n), static_cast<lapack_int>(V.cols()),
                   factor.data(), static_cast<lapack_int>(n), out.data(), static_cast<lapack_int>(n));
    result.solves += V.cols();
    return out;
  });
  const Vector<double> x = bottom.vector.normalized(), Ax = lower * x;
  const double value = x.dot(Ax);
  result.smallest = {value, -factorisation, value + quotient};
  for (const double allowance : {1e-6, 1e-3, 0.5}) {
    const double s = value * (1 - allowance) - 2 * factorisation;
    work = A;
    if (!factorise(work, 1, -s)) continue;
    result.smallest.lower = s - factorisation;
    break;
  }
  result.definite = result.smallest.lower > 0;
  return result;
}

}  // namespace basin
