#include "basin/spectrum/trace.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "basin/linalg/dense.h"
#include "basin/linalg/errors.h"
#include "basin/linalg/random.h"
#include "basin/linalg/sums.h"

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

/// Mean and interval of estimates that share vectors: they are correlated, and the plain standard error
/// falls short by a factor of 1.1 to 1.6 (measured with spectra that decay like i^-p, p from 0 to 4).
Estimate mean_of(const Vector<double>& samples) {
  constexpr double kCorrelated = 1.5;
  const auto n = static_cast<double>(samples.size());
  const double mean = samples.mean();
  const double standard = kCorrelated * std::sqrt((samples.array() - mean).square().sum() / (n * (n - 1)));
  return {mean, interval_factor(samples.size()) * standard};
}

/// Adds what rounding does to the matrix. Throws WorkError for what overflows.
TraceEstimates with_rounding(TraceEstimates result, double trace_error, const Vector<double>& row_errors) {
  result.trace.error += trace_error;
  result.frobenius.error += row_errors.stableNorm();
  for (const double number :
       {result.trace.value, result.trace.error, result.frobenius.value, result.frobenius.error})
    if (!std::isfinite(number)) throw WorkError("the trace or the Frobenius norm overflows");
  return result;
}

/// The same for estimates, whose sums over P terms are in double precision and may take every row's error
/// with one sign.
TraceEstimates with_rounding_of_sums(TraceEstimates result, const Vector<double>& row_errors) {
  const double sums = static_cast<double>(row_errors.size() + 4) * kEps * result.frobenius.value;
  result.frobenius.error += sums;
  return with_rounding(result, row_errors.sum() + sums, row_errors);
}

}  // namespace

Estimate root_of(const Estimate& square) {
  const auto root = [](double x) { return std::sqrt(std::max(0.0, x)); };
  const double value = root(square.value);
  return {value,
          std::max(value - root(square.value - square.error), root(square.value + square.error) - value)};
}

double interval_factor(Index samples) {
  // Student's 0.975 quantile by Cornish and Fisher's expansion, to 1 % from 4 degrees of freedom on, and more
  // than enough below.
  constexpr double z = 1.959964;
  const auto f = static_cast<double>(std::max<Index>(samples - 1, 1));
  if (f < 4) return f < 2 ? 12.71 : f < 3 ? 4.303 : 3.183;
  return z + (std::pow(z, 3) + z) / (4 * f) +
         (5 * std::pow(z, 5) + 16 * std::pow(z, 3) + 3 * z) / (96 * f * f);
}

TraceEstimates traces_of(const AssembledMatrix& assembled) {
  const Vectors<double>& A = assembled.matrix;
  TraceEstimates result;
  // Sums in long double, whose range holds every square and whose roundings are small against the last one.
  long double trace = 0, sizes = 0, squares = 0;
  for (Index i = 0; i < A.rows(); ++i) trace += A(i, i), sizes += std::abs(A(i, i));
  for (Index i = 0; i < A.size(); ++i) squares += static_cast<long double>(A.data()[i]) * A.data()[i];
  const auto roundings = static_cast<double>(A.rows()) * std::numeric_limits<long double>::epsilon();
  result.trace.value = static_cast<double>(trace);
  result.trace.error = kEps * std::abs(result.trace.value) + static_cast<double>(roundings * sizes);
  result.frobenius.value = static_cast<double>(std::sqrt(squares));
  result.frobenius.error =
      (kEps + static_cast<double>(A.size() * std::numeric_limits<long double>::epsilon())) *
      result.frobenius.value;
  return with_rounding(result, assembled.trace_error, assembled.row_errors);
}

TraceEstimates estimated_traces(const SelfAdjointOperator& A, const Vector<double>& row_errors, Index probes,
                                std::uint64_t seed, const Progress& progress) {
  const Index n = A.rows(), m = std::min(probes, n), products_before = A.products();
  if (probes < 2) throw InputError("trace: expected at least 2 probes, found " + std::to_string(probes));
  constexpr double kDropped = 1e-13;  // of the largest singular value: made by rounding
  TraceEstimates result;
  result.estimated = true;
  Vectors<double> Omega(n, m);
  Random(seed, "trace probes").fill_normal(Omega);
  Vectors<double> Y = products_with(A, Omega, 0, 2 * m, progress);
  const double largest = Y.cwiseAbs().maxCoeff();
  result.products = A.products() - products_before;
  if (largest == 0)
    return with_rounding_of_sums(result, row_errors);  // A Omega = 0: zero with probability one
  // All that follows is of A / scale, whose squares neither overflow nor vanish; a power of two changes no
  // bit.
  const double scale = std::exp2(std::floor(std::log2(largest)));
  const auto scaled_back = [&] {
    for (Estimate* e : {&result.trace, &result.frobenius}) e->value *= scale, e->error *= scale;
    return with_rounding_of_sums(result, row_errors);
  };
  Y /= scale;
  // Y = Q R, with directions dropped that rounding alone has made.
  const SingularPairs svd = singular_pairs(Y);
  Index rank = 0;
  while (rank < m && svd.values[rank] > kDropped * svd.values[0]) ++rank;
  const Vectors<double> Q = svd.left.leftCols(rank);
  const Vectors<double> Z = products_with(A, Q, m, m + rank, progress) / scale;
  result.products = A.products() - products_before;
  const Vectors<double> H = gram(Q, Z), W = gram(Q, Omega), B = gram(Q, Y);
  const double low_rank = H.trace(), low_rank_squares = Z.squaredNorm();
  if (rank < m) {  // the range of A is in Q
    result.trace = {low_rank, kDropped * static_cast<double>(m) * svd.values[0]};
    result.frobenius = {std::sqrt(low_rank_squares), result.trace.error};
    return scaled_back();
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
  result.frobenius = root_of(mean_of(squares));
  return scaled_back();
}

double estimated_traces_bytes(Index size, Index probes) {
  return 8.0 * static_cast<double>(size) * static_cast<double>(6 * probes);
}

}  // namespace basin
