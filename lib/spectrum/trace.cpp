#include "spectrum/trace.h"

#include <algorithm>
#include <cmath>

#include "linalg/dense.h"
#include "linalg/errors.h"
#include "linalg/random.h"

namespace basin {
namespace {

/// Products in blocks, so that progress is seen.
Vectors<double> products_with(const SelfAdjointOperator& A, const Vectors<double>& V, Index done, Index total,
                              const Progress& progress) {
  constexpr Index kBlock = 8;
  Vectors<double> out(V.rows(), V.cols());
  for (Index j = 0; j < V.cols(); j += kBlock) {
    const Index k = std::min(kBlock, V.cols() - j);
    A.apply(V.middleCols(j, k), out.middleCols(j, k));
    report(progress, done + j + k, total);
  }
  if (!out.allFinite()) throw WorkError("a product of the operator is not finite: its trace is not defined");
  return out;
}

/// Mean and standard error of estimates that share vectors: they are correlated, and the plain standard error
/// falls short by a factor of 1.1 to 1.6 (measured with spectra that decay like i^-p, p from 0 to 4).
Estimate mean_of(const Vector<double>& samples) {
  constexpr double kCorrelated = 1.5;
  const auto n = static_cast<double>(samples.size());
  const double mean = samples.mean();
  return {mean, kCorrelated * std::sqrt((samples.array() - mean).square().sum() / (n * (n - 1)))};
}

}  // namespace

TraceEstimates exact_traces(const Vectors<double>& matrix) {
  TraceEstimates result;
  result.trace.value = matrix.trace();
  result.frobenius.value = matrix.stableNorm();
  result.exact = true;
  return result;
}

TraceEstimates estimated_traces(const SelfAdjointOperator& A, Index probes, std::uint64_t seed,
                                const Progress& progress) {
  const Index n = A.rows(), m = std::min(probes, n), products_before = A.products();
  if (probes < 2) throw InputError("trace: expected at least 2 probes, found " + std::to_string(probes));
  TraceEstimates result;
  Vectors<double> Omega(n, m);
  Random(seed, "trace probes").fill_normal(Omega);
  const Vectors<double> Y = products_with(A, Omega, 0, 2 * m, progress);
  const double scale = Y.cwiseAbs().maxCoeff();
  result.products = A.products() - products_before;
  if (scale == 0) return result;  // A Omega = 0: zero with probability one
  // Y = Q R, with directions dropped that rounding alone has made.
  const SingularPairs svd = singular_pairs(Y / scale);
  Index rank = 0;
  while (rank < m && svd.values[rank] > 1e-13 * svd.values[0]) ++rank;
  const Vectors<double> Q = svd.left.leftCols(rank);
  const Vectors<double> Z = products_with(A, Q, m, m + rank, progress);
  result.products = A.products() - products_before;
  const Vectors<double> H = Q.transpose() * Z, W = Q.transpose() * Omega, B = Q.transpose() * Y;
  const double low_rank = H.trace(), low_rank_squares = Z.squaredNorm();
  if (rank < m) {  // the range of A is in Q
    result.trace.value = low_rank;
    result.frobenius.value = std::sqrt(low_rank_squares);
    return result;
  }
  // Without test vector i the range is Q without s_i, the direction in Q orthogonal to all other columns of
  // Y: column i of R^-T, here with R = diag(values) vectors^T.
  const Vectors<double> S =
      (svd.values.cwiseInverse().asDiagonal() * svd.vectors.transpose()).colwise().normalized();
  Vector<double> traces(m), squares(m);
  for (Index i = 0; i < m; ++i) {
    const Vector<double> s = S.col(i);
    const Vector<double> x = W.col(i) - s * s.dot(W.col(i));  // omega_i in the others' range
    const double outside = Omega.col(i).squaredNorm() - x.squaredNorm();
    // A random unit vector of the complement, instead of a normal one: its length says nothing.
    const double length = outside > 0 ? static_cast<double>(n - m + 1) / outside : 0;
    const double rest = Omega.col(i).dot(Y.col(i)) - 2 * x.dot(B.col(i)) + x.dot(H * x);
    traces[i] = low_rank - s.dot(H * s) + length * rest;
    squares[i] = low_rank_squares - (Z * s).squaredNorm() + length * (Y.col(i) - Z * x).squaredNorm();
  }
  result.trace = mean_of(traces);
  const Estimate square = mean_of(squares);
  result.frobenius.value = std::sqrt(std::max(0.0, square.value));
  result.frobenius.error = result.frobenius.value > 0 ? square.error / (2 * result.frobenius.value) : 0;
  return result;
}

double estimated_traces_bytes(Index size, Index probes) {
  return 8.0 * static_cast<double>(size) * static_cast<double>(6 * probes);
}

}  // namespace basin
