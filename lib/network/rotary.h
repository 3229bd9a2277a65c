/// Rotary positions.
#pragma once

#include <cmath>

#include "basin/linalg/product.h"
#include "basin/network/attention_options.h"

namespace basin {

/// x_t -> x_t R_t for the tokens t = 0, ..., n - 1 of each sample, R_t orthogonal: turns pairs of features by
/// angles that grow with t (network/attention_options.h), each way. Linear: the rule of a tangent is the map
/// itself, that of an adjoint the way back.
template <class S>
class RotaryTurns {
 public:
  RotaryTurns(const Rotary& rotary, Index tokens) : rotary_(rotary), tokens_(tokens) {
    const Index pairs = rotary.dimensions / 2;
    cos_.resize(tokens, pairs);
    sin_.resize(tokens, pairs);
    // One rounding to S for double and float; long double is compared with.
    for (Index i = 0; i < pairs; ++i) {
      const long double step =
          std::pow(static_cast<long double>(rotary.base),
                   -2 * static_cast<long double>(i) / static_cast<long double>(2 * pairs));
      for (Index t = 0; t < tokens; ++t) {
        cos_(t, i) = static_cast<S>(std::cos(static_cast<long double>(t) * step));
        sin_(t, i) = static_cast<S>(std::sin(static_cast<long double>(t) * step));
      }
    }
  }

  bool any() const { return rotary_.dimensions > 0; }
  /// Turns the features of one head: rows of samples, one below the other.
  void turn(Tile<S> x) const { turn(x, S(1)); }
  void turn_back(Tile<S> x) const { turn(x, S(-1)); }

 private:
  void turn(Tile<S> x, S way) const {
    const Index pairs = rotary_.dimensions / 2;
    const bool halves = rotary_.pairing == RotaryPairing::halves;
    for (Index row = 0; row < x.rows; ++row) {
      S* const features = x.row(row);
      const Index t = row % tokens_;
      for (Index i = 0; i < pairs; ++i) {
        S &a = features[halves ? i : 2 * i], &b = features[halves ? i + pairs : 2 * i + 1];
        const S c = cos_(t, i), s = way * sin_(t, i), first = a * c - b * s;
        b = a * s + b * c;
        a = first;
      }
    }
  }

  Rotary rotary_;
  Index tokens_;
  Matrix<S> cos_, sin_;  // n x pairs
};

}  // namespace basin
