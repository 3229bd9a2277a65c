/// Multi-head attention.
#pragma once

#include <memory>

#include "basin/network/attention_kernel.h"
#include "basin/network/layer.h"

namespace basin {

/// Multi-head attention without masks or biases (paper, equation 1), per sample X in R^{n x D}:
///
///     F(X) = sum_h A(X W_Q[h], X W_K[h])  X W_V[h]  W_O[h]
///
///     W_Q, W_K, W_V: (H, D, d)      W_O: (H, d, D_out)      A: an AttentionKernel
///
/// This is the plain layer: each line is the formula above it, in whole-matrix operations.
template <class S>
class Attention final : public Layer<S> {
 public:
  /// Throws InputError unless all sizes are positive.
  Attention(Shape input, Index heads, Index head_dim, Index outputs,
            std::shared_ptr<const AttentionKernel<S>> kernel);

  std::vector<ParameterBlock> blocks() const override;
  void value(BlockView<const S> w, BatchView<const S> x, Saved<S>& value, Batch<S>& y) const override;
  void tangent(BlockView<const S> w, const Saved<S>& value, BatchView<const S> dx, BlockView<const S> dw,
               Saved<S>& tangent, Batch<S>& dy) const override;
  void adjoint(BlockView<const S> w, const Saved<S>& value, BatchView<const S> ybar, Saved<S>& adjoint,
               BlockView<S> wbar, Batch<S>* xbar) const override;
  void tangent_of_adjoint(BlockView<const S> w, const Saved<S>& value, const Saved<S>& adjoint,
                          Saved<S>& tangent, BlockView<const S> dw, BatchView<const S> dybar,
                          BlockView<S> dwbar, Batch<S>* dxbar) const override;

 private:
  Index heads_, head_dim_;
  std::shared_ptr<const AttentionKernel<S>> kernel_;
};

}  // namespace basin
