/// Tiled attention between inputs and queries, keys, values. Part of network/tiled_attention.cpp.
#pragma once

#include <stdexcept>

#include "basin/network/attention_core.h"
#include "basin/network/exact_centring.h"
#include "basin/network/tiled_attention.h"

namespace basin::tiled {

// What they keep beside what the core is given (attention_core_layout.h): value[kX], of a kernel that ignores
// shifts of keys, is X without what the tokens of a sample have in common, where there is something; and,
// with bilinear scores, `adjoint` has
//   saved[kM]         Mbar          D x D, batch j H + h
inline constexpr std::size_t kM = kCoreSaved, kSaved = kCoreSaved + 1;

/// Working memory of a thread, kept from call to call.
template <class S>
struct ProjectionScratch {
  Saved<S> bar;   // adjoints of Q, K and V
  Batch<S> x;     // inputs, their rows further apart
  Batch<S> mbar;  // Mbar of a head
};

template <class S>
ProjectionScratch<S>& projection_scratch() {
  thread_local ProjectionScratch<S> memory;
  return memory;
}

/// Products over all tokens of the chunk.
template <class S>
struct Projections {
  const AttentionCore<S>& core;
  const InputMaps<S>& maps;
  ProjectionScratch<S>& memory = projection_scratch<S>();
  const Layout<S>& at = core.layout();

  /// The tokens that a projection is of.
  Tile<const S> tokens(const Saved<S>& value, std::size_t b) const {
    return b == kK ? at.tokens(value) : tile(value.input[0]);
  }

  /// Whether there is a bias of a projection in w that its values depend on; and if so, calls
  /// body(matrix, first, count, c) for the columns of each group where it counts, c the first one's place in
  /// the bias.
  template <class T>
  bool has_bias(BlockView<T> w, std::size_t b) const {
    return maps.bias[b] != 0 && w.has(maps.bias[b]) && (!shift_is_ignored(b) || maps.turned > 0);
  }
  bool shift_is_ignored(std::size_t b) const { return b == kK && core.kernel().ignores_shifts_of_keys(); }
  template <class SavedType, class Body>
  void for_biased(SavedType& saved, std::size_t b, Index j, const Body& body) const {
    const Index width = at.width(b), some = shift_is_ignored(b) ? maps.turned : width;
    for (Index h = 0; h < at.heads(b); ++h)
      body(at.head(saved, b, j, h * (at.H / at.heads(b))).middle_cols(0, some), h * width);
  }
  /// P += 1 b
  void add_bias(BlockView<const S> w, std::size_t b, Index j, Saved<S>& saved) const {
    if (!has_bias(w, b)) return;
    const S* const bias = w(maps.bias[b], j, 0).data();
    for_biased(saved, b, j, [&](Tile<S> P, Index first) {
      for (Index t = 0; t < P.rows; ++t)
        for (Index i = 0; i < P.cols; ++i) P.row(t)[i] += bias[first + i];
    });
  }
  /// bbar += 1^T Pbar
  void add_bias_adjoint(const Saved<S>& bar, std::size_t b, Index j, BlockView<S> wbar) const {
    if (!has_bias(wbar, b)) return;
    S* const bias = wbar(maps.bias[b], j, 0).data();
    for_biased(bar, b, j, [&](Tile<const S> Pbar, Index first) {
      for (Index t = 0; t < Pbar.rows; ++t)
        for (Index i = 0; i < Pbar.cols; ++i) bias[first + i] += Pbar.row(t)[i];
    });
  }
  bool turns(std::size_t b) const { return b != kV && maps.rotary.any(); }
  /// Q and K, or their tangents, by rotary positions; their adjoints back.
  void turn(Saved<S>& saved, std::size_t b, Index j) const {
    if (!turns(b)) return;
    for (Index h = 0; h < at.heads(b); ++h) maps.rotary.turn(at.head(saved, b, j, h * (at.H / at.heads(b))));
  }
  void turn_back(Saved<S>& bar, std::size_t b, Index j) const {
    if (!turns(b)) return;
    for (Index h = 0; h < at.heads(b); ++h)
      maps.rotary.turn_back(at.head(bar, b, j, h * (at.H / at.heads(b))));
  }

  /// Q, K, V = X W + 1 b, Q and K turned
  void project(BlockView<const S> w, BatchView<const S> x, Saved<S>& value) const {
    value.input = x;
    value.values.resize(kSaved);
    centre_tokens(value);
    for (const std::size_t b : kProjections) {
      at.resize(value, b, 1, x.rows());
      for (Index g = 0; g < at.groups(b); ++g)
        sum_of_products<S>({{tokens(value, b), at.columns(tile(w(b, 0, 0)), b, g)}},
                           at.projection(value, b, 0, g));
      add_bias(w, b, 0, value);
      turn(value, b, 0);
    }
    core.prepare(value);
  }

  /// Tokens with a common offset make large scores that softmax does not see, and on the way back Zbar K and
  /// X^T Kbar, where the sum of Zbar and that of Kbar over keys are zero: all would lose the digits of the
  /// offset.
  void centre_tokens(Saved<S>& value) const {
    value[kX].clear();
    if (!core.kernel().ignores_shifts_of_keys() || maps.rotary.any()) return;
    const Index rows = value.input.rows();
    const auto mask = value.context.mask;
    for (Index first = 0; first < rows; first += at.n)
      for_common_parts(
          {tile(value.input[0]).middle_rows(first, at.n)},
          [&](Index column, S c) {
            if (value[kX].empty()) {
              value[kX].resize(1, rows, value.input.cols());
              value[kX][0] = value.input[0];
            }
            subtract_from_column(tile(value[kX][0]).middle_rows(first, at.n), column, c);
          },
          mask.empty() ? mask
                       : mask.subspan(static_cast<std::size_t>(first), static_cast<std::size_t>(at.n)));
  }

  /// dQ = X dW_Q + dX W_Q + 1 db_Q, turned, and so on
  void project_tangent(BlockView<const S> w, const Saved<S>& value, BatchView<const S> dx,
                       BlockView<const S> dw, Saved<S>& tangent) const {
    const BatchView<const S> x = value.input;
    check_fixed(dx, nullptr);
    tangent.input = dx;
    tangent.values.resize(kSaved);
    for (const std::size_t b : kProjections) {
      tangent[b].clear();
      if (dx.empty() && !has_bias(dw, b) && (!dw.has(b) || (at.bilinear && b == kK))) continue;
      at.resize(tangent, b, dw.count(), x.rows());
      for (Index j = 0; j < dw.count(); ++j) {
        for (Index g = 0; g < at.groups(b); ++g)
          sum_of_products<S>(
              {{tokens(value, b), dw.has(b) ? at.columns(tile(dw(b, j, 0)), b, g) : Tile<const S>{}},
               {dx.empty() ? Tile<const S>{} : tile(dx[j]), at.columns(tile(w(b, 0, 0)), b, g)}},
              at.projection(tangent, b, j, g));
        add_bias(dw, b, j, tangent);
        turn(tangent, b, j);
      }
    }
    if (at.bilinear) bilinear_tangent(w, value, dw, tangent);
    core.prepare_tangent(value, tangent);
  }

  /// X dM = dQ W_K^T + Q dW_K^T, for M = W_Q W_K^T
  void bilinear_tangent(BlockView<const S> w, const Saved<S>& value, BlockView<const S> dw,
                        Saved<S>& tangent) const {
    tangent[kXM].clear();
    if (!dw.has(kQ) && !dw.has(kK)) return;
    tangent[kXM].resize_zero(dw.count() * at.groups(kXM), value.input.rows(), at.row_step(kXM));
    for (Index j = 0; j < dw.count(); ++j)
      for (Index h = 0; h < at.H; ++h) {
        const Tile<S> dXM = at.head(tangent, kXM, j, h);
        if (dw.has(kQ)) times_transpose<S>(at.head(tangent, kQ, j, h), at.columns(w, kK, 0, h), dXM, true);
        if (dw.has(kK)) times_transpose<S>(at.head(value, kQ, 0, h), at.columns(dw, kK, j, h), dXM, true);
      }
  }

  /// With Qbar turned back, Wbar += X^T Qbar,  bbar += 1^T Qbar,  Xbar = sum Qbar W^T; with the tangents, the
  /// product rule: dWbar += X^T dQbar + dX^T Qbar,  dXbar = sum dQbar W^T + Qbar dW^T. `keep`: what tangents
  /// will need.
  void project_adjoint(BlockView<const S> w, const Saved<S>& value, Saved<S>& bar, BlockView<S> wbar,
                       Batch<S>* xbar, Saved<S>* keep, BatchView<const S> dx = {},
                       const BlockView<const S>* dw = nullptr, const Saved<S>* point_bar = nullptr) const {
    check_fixed(dx, xbar);
    const BatchView<const S> x = value.input;
    memory.x.resize(1, x.rows(), row_step<S>(x.cols()));  // rows apart, to be read down the columns
    memory.x[0].leftCols(x.cols()) = x[0];
    const Tile<const S> X = tile(memory.x[0]).middle_cols(0, x.cols());
    if (xbar) xbar->resize_zero(wbar.count(), x.rows(), x.cols());
    for (Index j = 0; j < wbar.count(); ++j)
      for (const std::size_t b : kProjections) {
        if (bar[b].empty()) continue;
        turn_back(bar, b, j);
        add_bias_adjoint(bar, b, j, wbar);
        for (Index g = 0; g < at.groups(b); ++g) {
          const Tile<const S> Pbar = at.projection(bar, b, j, g),
                              tokens = b == kK && !value[kX].empty() ? at.tokens(value) : X;
          const Tile<const S> point_Pbar =
              point_bar && !point_bar->values.empty() ? at.projection(*point_bar, b, 0, g) : Tile<const S>{};
          if (wbar.has(b))
            sum_of_products<S>({{tokens.transpose(), Pbar},
                                {dx.empty() ? Tile<const S>{} : tile(dx[j]).transpose(), point_Pbar}},
                               at.columns(tile(wbar(b, j, 0)), b, g), true);
          if (!xbar) continue;
          times_transpose<S>(Pbar, at.columns(tile(w(b, 0, 0)), b, g), tile((*xbar)[j]), true);
          if (dw && dw->has(b))
            times_transpose<S>(point_Pbar, at.columns(tile((*dw)(b, j, 0)), b, g), tile((*xbar)[j]), true);
        }
      }
    if (!bar[kXM].empty()) bilinear_adjoint(w, X, bar, wbar, keep, dw, point_bar);
  }

  /// Mbar = X^T (X M)bar,  W_Qbar += Mbar W_K,  W_Kbar += Mbar^T W_Q; with tangents, the product rule:
  /// dW_Qbar += dMbar W_K + Mbar dW_K,  dW_Kbar += dMbar^T W_Q + Mbar^T dW_Q
  void bilinear_adjoint(BlockView<const S> w, Tile<const S> X, const Saved<S>& bar, BlockView<S> wbar,
                        Saved<S>* keep, const BlockView<const S>* dw, const Saved<S>* point_bar) const {
    Batch<S>& memory_of_M = keep ? (*keep)[kM] : memory.mbar;
    const Index D = at.slope_width;
    memory_of_M.resize(wbar.count() * at.H, D, basin::row_step<S>(D));
    const auto of_vector = [&](std::size_t b, Index j, Index h) {
      return dw && dw->has(b) ? at.columns(*dw, b, j, h) : Tile<const S>{};
    };
    for (Index j = 0; j < wbar.count(); ++j)
      for (Index h = 0; h < at.H; ++h) {
        const Tile<S> Mbar = tile(memory_of_M[j * at.H + h]).middle_cols(0, D);
        const Tile<const S> point = point_bar ? tile((*point_bar)[kM][h]).middle_cols(0, D) : Tile<const S>{};
        sum_of_products<S>({{X.transpose(), at.head(bar, kXM, j, h)}}, Mbar);
        if (wbar.has(kQ))
          sum_of_products<S>({{Mbar, at.columns(w, kK, 0, h)}, {point, of_vector(kK, j, h)}},
                             at.columns(wbar, kQ, j, h), true);
        if (wbar.has(kK))
          sum_of_products<S>(
              {{Mbar.transpose(), at.columns(w, kQ, 0, h)}, {point.transpose(), of_vector(kQ, j, h)}},
              at.columns(wbar, kK, j, h), true);
      }
  }

  /// Room for the adjoints of Q, K and V; they are kept only for an input that moves.
  Saved<S>& adjoints(Index count, const Saved<S>& value, BlockView<S> wbar, const Batch<S>* xbar,
                     Saved<S>& adjoint) const {
    adjoint.values.resize(xbar || at.bilinear ? kSaved : 0);
    return resized(count, value, wbar, xbar, xbar ? adjoint : memory.bar);
  }
  /// Room for their tangents.
  Saved<S>& adjoint_tangents(Index count, const Saved<S>& value, BlockView<S> dwbar,
                             const Batch<S>* dxbar) const {
    return resized(count, value, dwbar, dxbar, memory.bar);
  }
  Saved<S>& resized(Index count, const Saved<S>& value, BlockView<S> wbar, const Batch<S>* xbar,
                    Saved<S>& bar) const {
    bar.values.resize(kSaved);
    const auto wanted = [&](std::size_t b) { return wbar.has(b) || has_bias(wbar, b) || xbar; };
    core.resize_adjoints(count, value.input.rows(), wanted(kQ) || wanted(kK), wanted(kV), bar);
    return bar;
  }
  void check_fixed(BatchView<const S> dx, const Batch<S>* xbar) const {
    if (at.bilinear && (!dx.empty() || xbar))
      throw std::logic_error("attention with bilinear scores: the input may not move");
  }
};

}  // namespace basin::tiled
