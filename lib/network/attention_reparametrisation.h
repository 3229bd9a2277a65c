/// The weights of multi-head attention, arranged and multiplied for TiledAttention.
#pragma once

#include "basin/linalg/product.h"
#include "basin/network/attention_spec.h"
#include "basin/network/reparametrisation.h"

namespace basin {

/// From W_Q (H, D, d), W_K, W_V (G, D, d), W_O (H, d, D_out) and biases b_Q (H, d), b_K, b_V (G, d), b_O
/// (D_out), if there are any, scaled, with the heads side by side so that all of them are one matrix product,
/// and with zero columns up to widths d' and e' that fill whole packs:
///
///     W_Q (D, H d')     scale_q W_Q[h]                                          b_Q (H d')   likewise
///     W_K (D, G d')     scale_k W_K[g]                                          b_K (G d')
///     W_V (D, G e')     W_V[h] W_O[h] when `multiplied`, and then there is      b_V (G e')
///                       no W_O;   W_V[g] otherwise
///     W_O (H e', D_out) W_O[h], heads one below the other                       b_O (D_out)
///
/// in the order W_Q, W_K, W_V, b_Q, b_K, b_V, W_O, b_O of the layers that take them.
///
/// Attention is linear in X W_V[h] W_O[h], so that the two factors may be multiplied first, once for all
/// tokens. This costs the attention products D_out instead of d columns, and saves the products of all
/// tokens with W_O: the better way when D_out is not much larger than d.
template <class S>
class AttentionReparametrisation final : public Reparametrisation<S> {
 public:
  /// multiplied: for heads that share no keys and values, without biases of values and outputs.
  AttentionReparametrisation(const AttentionSpec& spec, bool multiplied, S scale_q, S scale_k);

  Index head_width() const { return head_width_; }    ///< d'
  Index value_width() const { return value_width_; }  ///< e'

  std::vector<ParameterBlock> blocks() const override;
  bool depends(std::size_t network_block, std::size_t block) const override;
  void value(BlockView<const S> w, BlockView<S> u) const override;
  void tangent(BlockView<const S> w, BlockView<const S> dw, BlockView<S> du) const override;
  void adjoint(BlockView<const S> w, BlockView<const S> ubar, BlockView<S> wbar) const override;
  void tangent_of_adjoint(BlockView<const S> w, BlockView<const S> ubar, BlockView<const S> dw,
                          BlockView<const S> dubar, BlockView<S> dwbar) const override;

 private:
  /// A block of w that is copied into one of u: the columns of head h, times a number, to columns h width,
  /// ... of u, or its rows to rows.
  struct Copy {
    std::size_t from, to;
    Index heads, width;
    S scale = 1;
    bool bias = false, below = false;
  };

  template <class T>
  Tile<T> product_slice(BlockView<T> u, Index j, Index h) const;
  void arrange(BlockView<const S> w, BlockView<S> u) const;
  void arrange_adjoint(BlockView<const S> ubar, BlockView<S> wbar) const;

  AttentionSpec spec_;
  bool multiplied_;
  Index head_width_, value_width_;
  std::vector<Copy> copies_;
};

}  // namespace basin
