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
  Vectors<double> Q(n, limit + block), AQ(n, limit + block), T(limit, limit), start(n, block);
  Random(seed, "definite_eigenvalues").fill_normal(start);
  append(Q, 0, start);
  Index next_look = block;
  for (Index size = block;; size += block) {
    const Index last = size - block;
    AQ.middleCols(last, block) = apply(Q.middleCols(last, block));
    T.block(0, last, size, block) = Q.leftCols(size).transpose() * AQ.middleCols(last, block);
    T.block(last, 0, block, last) = T.block(0, last, last, block).transpose();
    const bool full = size + block > limit;
    if (full || size >= next_look) {
      // A look costs size^3: a space that is a fifth larger than need be is cheaper than one after each
      // block.
      next_look = size + size / 5;
      const SymmetricEigen ritz = symmetric_eigen(T.topLeftCorner(size, size), true);
      const Vector<double> s = ritz.vectors.col(size - 1), x = Q.leftCols(size) * s;
      const double value = ritz.values[size - 1], residual = (AQ.leftCols(size) * s - value * x).norm();
      if (full || residual <= kResidual * std::abs(value)) {
        const Vectors<double> S = ritz.vectors.rowwise().reverse();
        const Vector<double> values = ritz.values.reverse();
        const Vectors<double> R = AQ.leftCols(size) * S - Q.leftCols(size) * S * values.asDiagonal();
        RitzPairs pairs = {values, R.colwise().norm().transpose(), x.normalized()};
        if (full || enough(pairs)) return pairs;
      }
    }
    append(Q, size, AQ.middleCols(last, block));
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
