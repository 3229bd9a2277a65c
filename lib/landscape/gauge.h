/// One point of every gauge orbit.
#pragma once

#include <vector>

#include "model/attention_model.h"

namespace basin {

/// The canonical gauge of a point: for every head, the invertible G (d x d) that takes it there,
///
///     softmax   W_Q = W_Q' G,  W_K = W_K' G^-T     with W_Q'^T W_Q' = W_K'^T W_K' diagonal, descending
///     Gaussian  W_Q = W_Q' G,  W_K = W_K' G        with G orthogonal and W_Q'^T W_Q' + W_K'^T W_K' diagonal
///     both      W_V = W_V' G,  W_O = G^-1 W_O'     with W_V'^T W_V' = W_O' W_O'^T diagonal
///
/// which are unique up to signs for distinct singular values, and signs are fixed: gauge-equivalent points
/// have the same one. Where W_O has a smaller rank r < d, only r values are tied together; the other columns
/// of W_V' are a basis of the rest of the span of W_V, of the mean size of the first (MATHEMATICS.md).
///
/// A pair of blocks neither of which is trained stays as it is: no direction moves it.
///
/// With directions carried along, f(theta + a u) = f(theta' + a u').
class CanonicalGauge {
 public:
  /// Throws InputError where the gauge orbit has no such point: W_Q, W_K or W_V without full column rank.
  CanonicalGauge(const AttentionSpec& spec, const ParameterLayout& layout, const Vector<double>& weights);

  /// The point of the orbit: all blocks.
  const Vector<double>& weights() const { return weights_; }
  /// A direction (P) at that point becomes the same one at the original point.
  void carry_back(Vector<double>& direction) const;

 private:
  struct Head {
    Matrix<double> queries, keys, values, outputs;  // factors: right, right, right, left
  };
  template <class Body>
  void for_blocks(Vector<double>& vector, bool trained_only, const Body& body) const;

  const ParameterLayout& layout_;
  Vector<double> weights_;
  std::vector<Head> heads_;
};

}  // namespace basin
