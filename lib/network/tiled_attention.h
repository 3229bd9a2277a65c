/// Multi-head attention at the speed of the machine.
#pragma once

#include <array>
#include <memory>

#include "basin/network/attention_core.h"
#include "basin/network/attention_options.h"
#include "basin/network/rotary.h"

namespace basin {

/// How derivatives of scores z_tl = <q_t, k_l> are taken: through both factors, or through M = W_Q W_K^T:
///
///     factored      dz_tl = <dq_t, k_l> + <q_t, dk_l>
///     bilinear      dz_tl = x_t^T dM x_l
///
/// The latter takes one product instead of two for tangents and adjoints each, of D instead of d columns, and
/// has no adjoints of keys to add to. It needs scores that are scalar products, and an input that never
/// moves.
enum class ScoreRules { factored, bilinear };

namespace tiled {

/// What Q, K and V have beside products.
template <class S>
struct InputMaps {
  RotaryTurns<S> rotary;
  std::array<std::size_t, 3> bias{};  ///< the blocks of b_Q, b_K, b_V; 0: there is none
  Index turned = 0;                   ///< features of a head that rotary positions turn
};

}  // namespace tiled

/// Multi-head attention, per sample X in R^{n x D}, for the weights that AttentionReparametrisation makes:
///
///     Q, K, V = X W_Q, X W_K, X W_V       W_Q: (D, H d)   W_K: (D, G d)   W_V: (D, G e), rows row_step apart
///     F(X) = sum_h A(Q_h, K_g) V_g        or the H products next to each other (n x H e)
///
/// where Q_h are the columns of head h, and g = h G / H, rounded down, the keys and values that it shares
/// with others, if G < H. When heads are summed, only the first `outputs` <= e columns are given.
/// AttentionOptions add biases to X W, b_Q: (H d), b_K: (G d), b_V: (G e), which come after the weights, turn
/// queries and keys by rotary positions, and hide later tokens. Masked tokens are no keys: their weight in A
/// is 0. As queries they are like others. A token that sees none has a row of zeros. What becomes of the
/// heads, and with that the bias of the outputs, is another layer's.
///
/// Linear maps around an AttentionCore, which does all the rest.
///
/// A kernel that ignores shifts of keys ignores b_K, but for features that rotary positions turn: it is left
/// out there, and all derivatives in it are zero, to the last digit.
template <class S>
class TiledAttention final : public Layer<S> {
 public:
  /// Throws InputError unless all sizes are positive, as check_options, and for bilinear scores with biases
  /// of queries or keys, rotary positions, or shared keys. With bilinear scores, rules throw std::logic_error
  /// if dx is not empty or xbar is wanted.
  TiledAttention(Shape input, Index heads, Index head_dim, Index value_dim, Heads combine, Index outputs,
                 std::unique_ptr<const TileKernel<S>> kernel, ScoreRules rules,
                 const AttentionOptions& options = {});

  std::vector<ParameterBlock> blocks() const override;
  void value(BlockView<const S> w, BatchView<const S> x, Saved<S>& value, Batch<S>& y) const override;
  void tangent(BlockView<const S> w, const Saved<S>& value, BatchView<const S> dx, BlockView<const S> dw,
               Saved<S>& tangent, Batch<S>& dy) const override;
  void adjoint(BlockView<const S> w, const Saved<S>& value, BatchView<const S> ybar, Saved<S>& adjoint,
               BlockView<S> wbar, Batch<S>* xbar) const override;
  void tangent_of_adjoint(BlockView<const S> w, const Saved<S>& value, const Saved<S>& adjoint,
                          Saved<S>& tangent, BlockView<const S> dw, BatchView<const S> dybar,
                          BlockView<S> dwbar, Batch<S>* dxbar) const override;
  void gradient(BlockView<const S> w, BatchView<const S> x, const RowRule<S>& loss, Saved<S>& value,
                Batch<S>& y, Batch<S>& ybar, Saved<S>& adjoint, BlockView<S> wbar,
                Batch<S>* xbar) const override;
  void hessian(BlockView<const S> w, const Saved<S>& value, const Saved<S>& adjoint, BatchView<const S> y,
               BatchView<const S> dx, BlockView<const S> dw, const RowRule<S>& loss, Saved<S>& tangent,
               Batch<S>& dy, Batch<S>& dybar, BlockView<S> dwbar, Batch<S>* dxbar) const override;

 private:
  AttentionCore<S> core_;
  tiled::InputMaps<S> maps_;
};

}  // namespace basin
