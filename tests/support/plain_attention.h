/// Multi-head attention as it is written: what the layers of the library are compared with.
#pragma once

#include <array>
#include <memory>

#include "basin/model/attention_model.h"
#include "basin/network/attention_kernel.h"
#include "basin/network/rotary.h"

namespace basin::test {

/// Multi-head attention (paper, equation 1), per sample X in R^{n x D}:
///
///     F(X) = sum_h A(X W_Q[h], X W_K[g])  X W_V[g]  W_O[h]
///
///     W_Q: (H, D, d)    W_K, W_V: (G, D, d)    W_O: (H, d, D_out)    A: an AttentionKernel
///
/// where heads have their own keys and values, g = h and G = H, unless AttentionOptions say that H / G in a
/// row share them. Options also add biases to X W and to F, b_Q: (H, d), b_K, b_V: (G, d), b_O: (D_out), turn
/// queries and keys by rotary positions, and hide later tokens. Masked tokens are no keys: their weight in A
/// is 0. As queries they are like others. A token that sees none has a row of zeros (and b_O).
///
/// Each line is the formula above it, in whole-matrix operations; in double and long double.
template <class S>
class PlainAttention final : public Layer<S> {
 public:
  /// Throws InputError unless all sizes are positive, and as check_options.
  PlainAttention(Shape input, Index heads, Index head_dim, Index outputs,
                 std::shared_ptr<const AttentionKernel<S>> kernel, const AttentionOptions& options = {});

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
  /// Heads of a projection, and the one that head h reads.
  Index count(std::size_t b) const;
  Index of(std::size_t b, Index h) const { return h / (heads_ / count(b)); }
  /// Where the bias of a projection or of the outputs is among the blocks; 0: there is none.
  std::size_t bias(std::size_t b) const { return bias_[b]; }
  template <class T>
  bool has_bias(BlockView<T> w, std::size_t b) const {
    return bias(b) != 0 && w.has(bias(b));
  }
  bool turns(std::size_t b) const;
  /// Which tokens of sample i see which: n x n, or empty.
  Matrix<S> sees(const Saved<S>& value, Index i) const;

  Index heads_, head_dim_;
  std::shared_ptr<const AttentionKernel<S>> kernel_;
  AttentionOptions options_;
  RotaryTurns<S> rotary_;
  std::array<std::size_t, 4> bias_{};
};

/// The layer of a specification. Throws InputError as check_sizes.
template <class S>
std::unique_ptr<const Layer<S>> make_plain_attention(const AttentionSpec& spec);

/// The model of build_single_attention with that layer.
std::shared_ptr<const Model<double>> make_plain_attention_model(
    const AttentionSpec& spec, const std::vector<std::string>& trainable = attention_blocks());

}  // namespace basin::test
