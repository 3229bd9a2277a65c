/// Multi-head attention at the speed of the machine.
#pragma once

#include <memory>

#include "basin/network/attention_core.h"

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

/// Multi-head attention, per sample X in R^{n x D}, for the weights that AttentionReparametrisation makes:
///
///     Q, K, V = X W_Q, X W_K, X W_V       W_Q, W_K: (D, H d)   W_V: (D, H e), rows row_step apart
///     F(X) = sum_h A(Q_h, K_h) V_h        or the H products next to each other (n x H e)
///
/// where Q_h are the columns of head h. When heads are summed, only the first `outputs` <= e columns are
/// given.
///
/// Linear maps around an AttentionCore, which does all the rest.
template <class S>
class TiledAttention final : public Layer<S> {
 public:
  /// Throws InputError unless all sizes are positive. With bilinear scores, rules throw std::logic_error if
  /// dx is not empty or xbar is wanted.
  TiledAttention(Shape input, Index heads, Index head_dim, Index value_dim, Heads combine, Index outputs,
                 std::unique_ptr<const TileKernel<S>> kernel, ScoreRules rules);

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
};

}  // namespace basin
