#include "basin/network/attention_reparametrisation.h"

#include "basin/linalg/product.h"
#include "basin/linalg/simd.h"
#include "basin/network/attention_spec.h"

namespace basin {
namespace {

/// Head h of a block of vector j; empty for a frozen block.
template <class T>
Tile<T> slice(BlockView<T> w, std::size_t block, Index j, Index h) {
  return w.has(block) ? tile(w(block, j, h)) : Tile<T>{};
}

}  // namespace

template <class S>
AttentionReparametrisation<S>::AttentionReparametrisation(Index embedding, Index heads, Index head_dim,
                                                          Index outputs, bool multiplied, S scale_q,
                                                          S scale_k)
    : embedding_(embedding),
      heads_(heads),
      head_dim_(head_dim),
      outputs_(outputs),
      multiplied_(multiplied),
      scale_q_(scale_q),
      scale_k_(scale_k),
      head_width_(padded<S>(head_dim)),
      value_width_(padded<S>(multiplied ? outputs : head_dim)) {}

template <class S>
std::vector<ParameterBlock> AttentionReparametrisation<S>::blocks() const {
  return {{"W_Q", {heads_, embedding_, head_dim_}},
          {"W_K", {heads_, embedding_, head_dim_}},
          {"W_V", {heads_, embedding_, head_dim_}},
          {"W_O", {heads_, head_dim_, outputs_}, {}, BlockRole::stacked_map}};
}

template <class S>
bool AttentionReparametrisation<S>::depends(std::size_t network_block, std::size_t block) const {
  return network_block == block || (multiplied_ && network_block == kV && block == kO);
}

/// The columns of P that belong to head h.
template <class S>
template <class T>
Tile<T> AttentionReparametrisation<S>::product_slice(BlockView<T> u, Index j, Index h) const {
  return slice(u, kV, j, 0).middle_cols(h * value_width_, outputs_);
}

/// The blocks of u that are copies of blocks of w.
template <class S>
void AttentionReparametrisation<S>::arrange(BlockView<const S> w, BlockView<S> u) const {
  const auto side_by_side = [&](std::size_t b, Index width, S scale) {
    if (!u.has(b)) return;
    for (Index j = 0; j < u.count(); ++j) {
      auto to = u(b, j, 0);
      to.setZero();
      if (!w.has(b)) continue;
      for (Index h = 0; h < heads_; ++h) to.middleCols(h * width, head_dim_) = scale * w(b, j, h);
    }
  };
  side_by_side(kQ, head_width_, scale_q_);
  side_by_side(kK, head_width_, scale_k_);
  if (multiplied_) return;
  side_by_side(kV, value_width_, 1);
  if (!u.has(kO)) return;
  for (Index j = 0; j < u.count(); ++j) {
    auto to = u(kO, j, 0);
    to.setZero();
    for (Index h = 0; h < heads_; ++h) to.middleRows(h * value_width_, head_dim_) = w(kO, j, h);
  }
}

template <class S>
void AttentionReparametrisation<S>::arrange_adjoint(BlockView<const S> ubar, BlockView<S> wbar) const {
  const auto side_by_side = [&](std::size_t b, Index width, S scale) {
    if (!wbar.has(b)) return;
    for (Index j = 0; j < wbar.count(); ++j)
      for (Index h = 0; h < heads_; ++h)
        wbar(b, j, h) += scale * ubar(b, j, 0).middleCols(h * width, head_dim_);
  };
  side_by_side(kQ, head_width_, scale_q_);
  side_by_side(kK, head_width_, scale_k_);
  if (multiplied_) return;
  side_by_side(kV, value_width_, 1);
  if (!wbar.has(kO)) return;
  for (Index j = 0; j < wbar.count(); ++j)
    for (Index h = 0; h < heads_; ++h)
      wbar(kO, j, h) += ubar(kO, j, 0).middleRows(h * value_width_, head_dim_);
}

// With P[h] = W_V[h] W_O[h]:

/// P = W_V W_O
template <class S>
void AttentionReparametrisation<S>::value(BlockView<const S> w, BlockView<S> u) const {
  arrange(w, u);
  if (!multiplied_) return;
  u(kV, 0, 0).setZero();
  for (Index h = 0; h < heads_; ++h)
    sum_of_products<S>({{slice(w, kV, 0, h), slice(w, kO, 0, h)}}, product_slice(u, 0, h));
}

/// dP = dW_V W_O + W_V dW_O
template <class S>
void AttentionReparametrisation<S>::tangent(BlockView<const S> w, BlockView<const S> dw,
                                            BlockView<S> du) const {
  arrange(dw, du);
  if (!multiplied_ || !du.has(kV)) return;
  for (Index j = 0; j < du.count(); ++j) {
    du(kV, j, 0).setZero();
    for (Index h = 0; h < heads_; ++h)
      sum_of_products<S>(
          {{slice(dw, kV, j, h), slice(w, kO, 0, h)}, {slice(w, kV, 0, h), slice(dw, kO, j, h)}},
          product_slice(du, j, h));
  }
}

/// W_Vbar = Pbar W_O^T,  W_Obar = W_V^T Pbar
template <class S>
void AttentionReparametrisation<S>::adjoint(BlockView<const S> w, BlockView<const S> ubar,
                                            BlockView<S> wbar) const {
  arrange_adjoint(ubar, wbar);
  if (!multiplied_) return;
  for (Index j = 0; j < wbar.count(); ++j)
    for (Index h = 0; h < heads_; ++h) {
      const Tile<const S> Pbar = product_slice(ubar, j, h);
      if (wbar.has(kV)) add_times_transpose<S>(Pbar, slice(w, kO, 0, h), slice(wbar, kV, j, h));
      if (wbar.has(kO))
        sum_of_products<S>({{slice(w, kV, 0, h).transpose(), Pbar}}, slice(wbar, kO, j, h), true);
    }
}

/// dW_Vbar = dPbar W_O^T + Pbar dW_O^T,  dW_Obar = W_V^T dPbar + dW_V^T Pbar
template <class S>
void AttentionReparametrisation<S>::tangent_of_adjoint(BlockView<const S> w, BlockView<const S> ubar,
                                                       BlockView<const S> dw, BlockView<const S> dubar,
                                                       BlockView<S> dwbar) const {
  adjoint(w, dubar, dwbar);
  if (!multiplied_) return;
  for (Index j = 0; j < dwbar.count(); ++j)
    for (Index h = 0; h < heads_; ++h) {
      const Tile<const S> Pbar = product_slice(ubar, 0, h);
      if (dwbar.has(kV) && dw.has(kO))
        add_times_transpose<S>(Pbar, slice(dw, kO, j, h), slice(dwbar, kV, j, h));
      if (dwbar.has(kO) && dw.has(kV))
        sum_of_products<S>({{slice(dw, kV, j, h).transpose(), Pbar}}, slice(dwbar, kO, j, h), true);
    }
}

template class AttentionReparametrisation<double>;
template class AttentionReparametrisation<float>;

}  // namespace basin
