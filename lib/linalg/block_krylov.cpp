#include "linalg/block_krylov.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "linalg/dense.h"
#include "linalg/random.h"

namespace basin {
namespace {

constexpr Index kBlock = 4, kMaxVectors = 160;
constexpr double kResidual = 1e-5;

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

}  // namespace

RitzPairs largest_ritz_pairs(Index n, std::uint64_t seed,
                             const std::function<Vectors<double>(const Vectors<double>&)>& apply,
                             const std::function<bool(const RitzPairs&)>& enough) {
  const Index block = n < kMaxVectors ? 1 : kBlock, limit = std::min(n, kMaxVectors);
  Vectors<double> Q(n, limit + block), AQ(n, limit + block), start(n, block);
  Random(seed, "definite_eigenvalues").fill_normal(start);
  append(Q, 0, start);
  Index asked = 0;  // size at which `enough` was asked last: residuals of all pairs are not for free
  for (Index size = block;; size += block) {
    AQ.middleCols(size - block, block) = apply(Q.middleCols(size - block, block));
    Vectors<double> T = Q.leftCols(size).transpose() * AQ.leftCols(size);
    T = (0.5 * (T + T.transpose())).eval();
    const SymmetricEigen ritz = symmetric_eigen(T, true);
    const Vector<double> s = ritz.vectors.col(size - 1), x = Q.leftCols(size) * s;
    const double value = ritz.values[size - 1], residual = (AQ.leftCols(size) * s - value * x).norm();
    const bool full = size + block > limit;
    if (full || (residual <= kResidual * std::abs(value) && 4 * size >= 5 * asked)) {
      asked = size;
      const Vectors<double> S = ritz.vectors.rowwise().reverse();
      const Vector<double> values = ritz.values.reverse();
      const Vectors<double> R = AQ.leftCols(size) * S - Q.leftCols(size) * S * values.asDiagonal();
      RitzPairs pairs = {values, R.colwise().norm().transpose(), x.normalized()};
      if (full || enough(pairs)) return pairs;
    }
    append(Q, size, AQ.middleCols(size - block, block));
  }
}

double bound_largest(const RitzPairs& top, const std::function<double(Index r, double coupling)>& rest) {
  double best = std::numeric_limits<double>::infinity(), coupling = 0;
  for (Index r = 1; r <= top.values.size(); ++r) {
    coupling += top.residuals[r - 1] * top.residuals[r - 1];
    const double c = std::max(0.0, rest(r, coupling));
    const double mean = (top.values[0] + c) / 2, half = (top.values[0] - c) / 2;
    best = std::min(best, mean + std::sqrt(half * half + coupling));
  }
  return best;
}

}  // namespace basin
