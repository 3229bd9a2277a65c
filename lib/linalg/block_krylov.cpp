#include "basin/linalg/block_krylov.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "basin/linalg/dense.h"
#include "basin/linalg/orthogonal.h"
#include "basin/linalg/random.h"

namespace basin {
namespace {

constexpr Index kBlock = 4, kMaxVectors = 160;
constexpr double kResidual = 1e-5;

/// Appends what is new in V to the orthonormal Q(:, 0 .. size), and random vectors in the place of what is
/// not: an invariant space may have only one copy of a multiple eigenvalue in it.
void append(Vectors<double>& Q, Index size, Vectors<double> V, Random& random) {
  for (const Index end = size + V.cols(); size < end;) {
    const Index fresh = orthonormalise(Q.leftCols(size), V).count;
    Q.middleCols(size, fresh) = V.leftCols(fresh);
    size += fresh;
    V.resize(V.rows(), end - size);
    random.fill_normal(V);
  }
}

}  // namespace

RitzPairs largest_ritz_pairs(Index n, std::uint64_t seed,
                             const std::function<Vectors<double>(const Vectors<double>&)>& apply,
                             const std::function<bool(const RitzPairs&)>& enough) {
  const Index block = n < kMaxVectors ? 1 : kBlock, limit = std::min(n, kMaxVectors);
  Vectors<double> Q(n, limit + block), AQ(n, limit + block), T(limit, limit), start(n, block);
  Random random(seed, "definite_eigenvalues");
  random.fill_normal(start);
  append(Q, 0, start, random);
  Index next_look = block;
  for (Index size = block;; size += block) {
    const Index last = size - block;
    AQ.middleCols(last, block) = apply(Q.middleCols(last, block));
    T.block(0, last, size, block) = gram(Q.leftCols(size), AQ.middleCols(last, block));
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
    append(Q, size, AQ.middleCols(last, block), random);
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
