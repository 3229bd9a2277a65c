/// An attention layer on a plane of its weights: what is linear and quadratic in the steps (MATHEMATICS.md).
#pragma once

#include <array>

#include "basin/linalg/batch.h"
#include "basin/single_layer/attention_view.h"

namespace basin {

/// 1, a, b, a^2, a b, b^2: every quantity below is a sum of fixed arrays, one for each of these.
inline constexpr std::size_t kMonomials = 6;
inline std::array<double, kMonomials> monomials(double a, double b) {
  return {1, a, b, a * a, a * b, b * b};
}

/// The monomial that is the product of two of 1, a, b.
inline constexpr std::size_t kProduct[3][3] = {{0, 1, 2}, {1, 3, 4}, {2, 4, 5}};

/// The weights W(a, b) = W_0 + a W_u + b W_v of all heads side by side, queries and keys scaled such that the
/// scores are <q, k> (softmax) or -|q - k|^2 / 2 (Gaussian); and W_V W_O, which is quadratic in (a, b).
/// Arrays that are zero are empty.
struct PlaneWeights {
  /// u, v: P. Throws InputError for a network that is not a single attention layer.
  PlaneWeights(const ModelPoint<double>& point, const Vector<double>& u, const Vector<double>& v);

  AttentionSpec spec;
  Index value_width;                             ///< D_out in whole packs
  std::array<Matrix<double>, 3> queries, keys;   ///< D x H d: of 1, a, b
  std::array<Matrix<double>, kMonomials> value;  ///< D x H value_width
};

/// The same for the tokens of one sample, head by head. What keys of softmax have in common is taken away
/// where that is exact (only differences of keys count), which makes scores small.
struct PlaneProjections {
  std::array<Batch<double>, 3> queries_t;       ///< (H, d, n in whole packs): transposed, zero beyond n
  std::array<Batch<double>, 3> keys;            ///< (H, n, d)
  std::array<Batch<double>, kMonomials> value;  ///< (H, n, value_width)

  /// x: n x D.
  void compute(const PlaneWeights& weights, ConstMatrixRef<double> x);
};

/// Bytes that the projections of one sample take.
double projection_bytes(const AttentionSpec& spec);

}  // namespace basin
