#include "basin/network/attention_reparametrisation.h"

#include <algorithm>

#include "basin/linalg/product.h"
#include "basin/linalg/simd.h"

namespace basin {
namespace {

/// Head h of a block of vector j; empty for a frozen block.
template <class T>
Tile<T> slice(BlockView<T> w, std::size_t block, Index j, Index h) {
  return w.has(block) ? tile(w(block, j, h)) : Tile<T>{};
}

}  // namespace

template <class S>
AttentionReparametrisation<S>::AttentionReparametrisation(const AttentionSpec& spec, bool multiplied,
                                                          S scale_q, S scale_k)
    : spec_(spec),
      multiplied_(multiplied),
      head_width_(padded<S>(spec.head_dim)),
      value_width_(padded<S>(multiplied ? spec.outputs : spec.head_dim)) {
  const Index H = spec.heads, G = spec.kv_heads();
  copies_ = {{kQ, kQ, H, head_width_, scale_q}, {kK, kK, G, head_width_, scale_k}};
  if (!multiplied) copies_.push_back({kV, kV, G, value_width_});
  std::size_t from = kO + 1, to = kV + 1;
  const auto bias = [&](char letter, Index heads, Index width, S scale) {
    if (spec.options.has_bias(letter)) copies_.push_back({from++, to++, heads, width, scale, true});
  };
  bias('q', H, head_width_, scale_q);
  bias('k', G, head_width_, scale_k);
  bias('v', G, value_width_, 1);
  if (!multiplied) copies_.push_back({kO, to++, H, value_width_, 1, false, true});
  bias('o', 1, spec.outputs, 1);
}

template <class S>
std::vector<ParameterBlock> AttentionReparametrisation<S>::blocks() const {
  return attention_blocks(spec_);
}

template <class S>
bool AttentionReparametrisation<S>::depends(std::size_t network_block, std::size_t block) const {
  if (multiplied_ && network_block == kV) return block == kV || block == kO;
  return std::any_of(copies_.begin(), copies_.end(),
                     [&](const Copy& c) { return c.to == network_block && c.from == block; });
}

/// The columns of P that belong to head h.
template <class S>
template <class T>
Tile<T> AttentionReparametrisation<S>::product_slice(BlockView<T> u, Index j, Index h) const {
  return slice(u, kV, j, 0).middle_cols(h * value_width_, spec_.outputs);
}

/// The blocks of u that are copies of blocks of w.
template <class S>
void AttentionReparametrisation<S>::arrange(BlockView<const S> w, BlockView<S> u) const {
  for (const Copy& c : copies_) {
    if (!u.has(c.to)) continue;
    for (Index j = 0; j < u.count(); ++j) {
      auto to = u(c.to, j, 0);
      to.setZero();
      for (Index h = 0; h < c.heads && w.has(c.from); ++h) {
        if (c.bias) {
          const auto from = w(c.from, j, 0);
          to.middleCols(h * c.width, from.cols()) = c.scale * from.row(h);
        } else if (c.below) {
          to.middleRows(h * c.width, spec_.head_dim) = w(c.from, j, h);
        } else {
          to.middleCols(h * c.width, spec_.head_dim) = c.scale * w(c.from, j, h);
        }
      }
    }
  }
}

template <class S>
void AttentionReparametrisation<S>::arrange_adjoint(BlockView<const S> ubar, BlockView<S> wbar) const {
  for (const Copy& c : copies_) {
    if (!wbar.has(c.from)) continue;
    for (Index j = 0; j < wbar.count(); ++j) {
      const auto from = ubar(c.to, j, 0);
      for (Index h = 0; h < c.heads; ++h) {
        if (c.bias) {
          auto to = wbar(c.from, j, 0);
          to.row(h) += c.scale * from.middleCols(h * c.width, to.cols()).row(0);
        } else if (c.below) {
          wbar(c.from, j, h) += from.middleRows(h * c.width, spec_.head_dim);
        } else {
          wbar(c.from, j, h) += c.scale * from.middleCols(h * c.width, spec_.head_dim);
        }
      }
    }
  }
}

// With P[h] = W_V[h] W_O[h]:

/// P = W_V W_O
template <class S>
void AttentionReparametrisation<S>::value(BlockView<const S> w, BlockView<S> u) const {
  arrange(w, u);
  if (!multiplied_) return;
  u(kV, 0, 0).setZero();
  for (Index h = 0; h < spec_.heads; ++h)
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
    for (Index h = 0; h < spec_.heads; ++h)
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
    for (Index h = 0; h < spec_.heads; ++h) {
      const Tile<const S> Pbar = product_slice(ubar, j, h);
      if (wbar.has(kV)) times_transpose<S>(Pbar, slice(w, kO, 0, h), slice(wbar, kV, j, h), true);
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
    for (Index h = 0; h < spec_.heads; ++h) {
      const Tile<const S> Pbar = product_slice(ubar, 0, h);
      if (dwbar.has(kV) && dw.has(kO))
        times_transpose<S>(Pbar, slice(dw, kO, j, h), slice(dwbar, kV, j, h), true);
      if (dwbar.has(kO) && dw.has(kV))
        sum_of_products<S>({{slice(dw, kV, j, h).transpose(), Pbar}}, slice(dwbar, kO, j, h), true);
    }
}

template class AttentionReparametrisation<double>;
template class AttentionReparametrisation<float>;

}  // namespace basin
