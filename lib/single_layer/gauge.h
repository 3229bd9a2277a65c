/// One point of every gauge orbit of an attention layer.
#pragma once

#include <array>
#include <memory>
#include <vector>

#include "basin/landscape/directions.h"
#include "basin/single_layer/attention_view.h"

namespace basin {

/// The canonical gauge of a point: for every head, the invertible G (d x d) that takes it there,
///
///     softmax   W_Q = W_Q' G,  W_K = W_K' G^-T     with W_Q'^T W_Q' = W_K'^T W_K' diagonal, descending
///     Gaussian  W_Q = W_Q' G,  W_K = W_K' G        with G orthogonal and W_Q'^T W_Q' + W_K'^T W_K' diagonal
///     both      W_V = W_V' G,  W_O = G^-1 W_O'     with W_V'^T W_V' = W_O' W_O'^T diagonal
///
/// which are unique up to signs for distinct singular values, and signs are fixed: gauge-equivalent points
/// have the same one. Where W_O has a smaller rank r < d, only r values are tied together; the other columns
/// of W_V' are a basis of the rest of the span of W_V, of the mean size of the first
/// (landscape/MATHEMATICS.md).
///
/// A pair of blocks neither of which is trained stays as it is: no direction moves it.
///
/// With directions carried along, f(theta + a u) = f(theta' + a u').
class CanonicalGauge final : public CanonicalPoint {
 public:
  /// Throws InputError where the gauge orbit has no such point: W_Q, W_K or W_V without full column rank; and
  /// for a network that is not a single attention layer.
  explicit CanonicalGauge(const ModelPoint<double>& point);

  /// The point of the orbit.
  const ModelPoint<double>& point() const override { return point_; }
  /// A direction (P) at that point becomes the same one at the original point.
  void carry_back(Vector<double>& direction) const override;

 private:
  using Head = std::array<Matrix<double>, 4>;  // a factor for each AttentionBlock: on the right, of W_O left
  template <class Body>
  void for_blocks(BlockView<double> blocks, const Body& body) const;

  ModelPoint<double> point_;
  std::vector<Head> heads_;
};

/// The same for directions that are normalised (landscape/directions.h).
std::unique_ptr<const CanonicalPoint> canonical_gauge(const ModelPoint<double>& point);

}  // namespace basin
