/// The weights of multi-head attention, arranged and multiplied for TiledAttention.
#pragma once

#include "basin/linalg/product.h"
#include "basin/network/reparametrisation.h"

namespace basin {

/// From W_Q, W_K, W_V (H, D, d) and W_O (H, d, D_out), scaled, with the heads side by side so that all of
/// them are one matrix product, and with zero columns up to widths d' and e' that fill whole packs:
///
///     W_Q (D, H d')     scale_q W_Q[h]
///     W_K (D, H d')     scale_k W_K[h]
///     W_V (D, H e')     W_V[h] W_O[h] when `multiplied`, and then there is no W_O;   W_V[h] otherwise
///     W_O (H e', D_out) W_O[h], heads one below the other
///
/// Attention is linear in X W_V[h] W_O[h], so that the two factors may be multiplied first, once for all
/// tokens. This costs the attention products D_out instead of d columns, and saves the products of all
/// tokens with W_O: the better way when D_out is not much larger than d.
template <class S>
class AttentionReparametrisation final : public Reparametrisation<S> {
 public:
  AttentionReparametrisation(Index embedding, Index heads, Index head_dim, Index outputs, bool multiplied,
                             S scale_q, S scale_k);

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
  template <class T>
  Tile<T> product_slice(BlockView<T> u, Index j, Index h) const;
  void arrange(BlockView<const S> w, BlockView<S> u) const;
  void arrange_adjoint(BlockView<const S> ubar, BlockView<S> wbar) const;

  Index embedding_, heads_, head_dim_, outputs_;
  bool multiplied_;
  S scale_q_, scale_k_;
  Index head_width_, value_width_;
};

}  // namespace basin
