/// The core of multi-head attention: what queries, keys and values give, in tiles.
#pragma once

#include <memory>

#include "basin/network/attention_core_layout.h"

namespace basin {

/// The heads of attention, R_h = A(Q_h, K_h) V_h for every sample, next to each other or summed, for queries,
/// keys and values that the caller makes as it likes: how they hang on inputs and weights is its business,
/// as is what becomes of the heads.
///
/// Its rules are those of a layer (network/layer.h) with Q, K and V in place of x and w. They stand in the
/// arrays kQ, kK and kV of `value`, their tangents in those of `tangent`, where an empty one is zero, and
/// their adjoints in those of `bar`, where an empty one is not wanted (attention_core_layout.h has the
/// shapes). A key that is masked (value.context.mask) and, with a causal layout, one of a later token has
/// weight 0 in A, and costs nothing; a query that sees no key gets zeros. With bilinear scores, tangents and
/// adjoints of X M stand for those of Q and K.
///
/// Nothing of size n x n is kept (as it is by the plain rules that tests compare with,
/// tests/support/plain_attention.h). A sample is processed in tiles of some query rows against all keys,
/// small enough for the arrays of all heads to stay in the second-level cache; the attention weights and
/// their adjoints are computed again whenever a tile is visited, which costs less than reading them from
/// memory. `gradient` and `hessian` go through the loss tile by tile, so that forward and backward pass share
/// a visit. See network/PERFORMANCE.md.
template <class S>
class AttentionCore {
 public:
  AttentionCore(const tiled::Layout<S>& layout, std::unique_ptr<const TileKernel<S>> kernel)
      : layout_(layout), kernel_(std::move(kernel)) {}

  const tiled::Layout<S>& layout() const { return layout_; }
  const TileKernel<S>& kernel() const { return *kernel_; }

  /// What comes after Q, K and V are in `value`, which has its context: those of keys that count are
  /// gathered, and the kernel may change them. Nobody but the core should read them after that.
  void prepare(Saved<S>& value) const;
  /// The same after their tangents are in `tangent`.
  void prepare_tangent(const Saved<S>& value, Saved<S>& tangent) const;
  /// Makes room for the adjoints of `count` vectors.
  void resize_adjoints(Index count, Index rows, bool scores, bool values, Saved<S>& bar) const;

  void value(Saved<S>& value, Batch<S>& y) const;
  /// For `count` vectors.
  void tangent(Index count, const Saved<S>& value, const Saved<S>& tangent, Batch<S>& dy) const;
  void adjoint(const Saved<S>& value, BatchView<const S> ybar, Saved<S>& bar) const;
  /// bar = the tangent of the adjoints.
  void tangent_of_adjoint(const Saved<S>& value, BatchView<const S> ybar, const Saved<S>& tangent,
                          BatchView<const S> dybar, Saved<S>& bar) const;

  /// value, ybar = loss.gradient(y), adjoint.
  void gradient(Saved<S>& value, const RowRule<S>& loss, Batch<S>& y, Batch<S>& ybar, Saved<S>& bar) const;
  /// tangent, dybar = loss.curvature(y, dy), tangent_of_adjoint for `count` vectors.
  void hessian(Index count, const Saved<S>& value, BatchView<const S> ybar, const Saved<S>& tangent,
               const RowRule<S>& loss, BatchView<const S> y, Batch<S>& dy, Batch<S>& dybar,
               Saved<S>& bar) const;

 private:
  struct Pass;
  Pass pass() const;
  void prepare(Saved<S>& saved, const Saved<S>* point) const;
  /// Adjoints of keys and values back to where their tokens stand.
  void scatter(const Saved<S>& value, Saved<S>& bar) const;

  tiled::Layout<S> layout_;
  std::unique_ptr<const TileKernel<S>> kernel_;
};

}  // namespace basin
