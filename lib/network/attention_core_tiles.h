/// The rules of attention for one tile. Part of network/attention_core.cpp.
#pragma once

#include <algorithm>
#include <limits>

#include "basin/network/attention_core_heaviest.h"
#include "basin/network/tile_weights.h"

namespace basin::tiled {

/// One tile.
///
/// Softmax couples the keys of a query by sums over them. Those of the way back are scalar products of short
/// vectors, with R = A V, so that it visits every block of keys once:
///
///     s    = sum A o dZ
///     mean = sum A o Abar               = <Rbar, R>
///     t    = sum dA o Abar + A o dAbar  = <Rbar, dR> + <dRbar, R>
///
/// A kernel that is not normalised has no such sums: there they are zero. For a key that has nearly all
/// weight of a query (see Heaviest), with D = R - V_heaviest = sum over the others of A (V - V_heaviest):
///
///     Abar - mean = -<Rbar, D>,    dAbar - t = -<dRbar, D> - <Rbar, dD>
///
/// and dZ is taken relative to its own.
template <class S>
struct TileRules : TileParts<S> {
  using Call<S>::at;
  using Call<S>::kernel;
  using Call<S>::memory;
  using TileParts<S>::block;
  using TileParts<S>::for_heaviest;
  using TileParts<S>::keys;
  using TileParts<S>::moving_keys;
  using TileParts<S>::queries;
  using TileParts<S>::scores_move;
  using TileParts<S>::stand_apart;

  /// Makes room for what `first_outputs` keeps at the point.
  void resize_stats(Index samples, Saved<S>& value) const {
    const Index count = kernel.normalised() ? 1 : 0;
    value[kStats].resize(count, samples * at.H * 2, row_step<S>(at.n));
    value[kRt].resize(count, samples * at.H * at.e, row_step<S>(at.n));
  }

  /// A, R = A V and F = sum_h R for the first time at this point. The A of a normalised kernel is left to be
  /// divided by its sums over keys.
  void first_outputs(Saved<S>& value, const Place& p, Batch<S>& y) const {
    at.transpose_queries(value, kQ, memory.qt, 0, p);
    for (Index h = 0; h < at.H; ++h) {
      const Scores<S> scores = at.scores(value, memory.qt, 0, p, h);
      const Tile<S> A = at.lanes(memory.a, h, p), Rt = at.lanes(memory.rt, h, p);
      const Tile<S> stats = at.lanes(value, kStats, 0, p, h);
      S *max = nullptr, *sum = nullptr;
      if (kernel.normalised()) {
        max = stats.row(0), sum = stats.row(1);
        std::fill_n(max, A.cols, -std::numeric_limits<S>::infinity());
        std::fill_n(sum, A.cols, S(0));
        at.for_keys(p, [&](Index first, Index count) {
          kernel.scores(scores.keys(first, count), A.middle_rows(first, count));
          at.hide_later(value, p, first, A.middle_rows(first, count));
          raise_to_largest<S>(A.middle_rows(first, count), max);
        });
        if (p.common == 0) replace(max, A.cols, -std::numeric_limits<S>::infinity());
      }
      at.for_keys(p, [&](Index first, Index count) {
        const Tile<S> A_l = A.middle_rows(first, count);
        if (!kernel.normalised()) {
          kernel.scores(scores.keys(first, count), A_l);
          at.hide_later(value, p, first, A_l);
        }
        exponentials<S>(A_l, max);
        if (sum) add_columns<S>(A_l, sum);
        sum_of_products<S>({{keys(value, kV, 0, p, h, first, count).transpose(), A_l}}, Rt, first > 0);
      });
      if (p.keys == 0) set_zero(Rt);
      if (!kernel.normalised()) continue;
      for (Index t = 0; t < A.cols; ++t) sum[t] = 1 / sum[t];
      if (p.common == 0) replace(sum, A.cols, std::numeric_limits<S>::infinity());
      scale_columns<S>(Rt, sum);
      const Tile<S> kept = at.lanes(value, kRt, 0, p, h);
      for (Index i = 0; i < at.e; ++i) std::copy_n(Rt.row(i), Rt.cols, kept.row(i));
    }
    write_outputs(memory.rt, p, y, 0);
  }

  /// A of all heads again.
  void weights(const Saved<S>& value, const Place& p) const {
    at.transpose_queries(value, kQ, memory.qt, 0, p);
    for (Index h = 0; h < at.H; ++h) {
      const Tile<const S> stats = at.lanes(value, kStats, 0, p, h);
      const Scores<S> scores = at.scores(value, memory.qt, 0, p, h);
      at.for_keys(p, [&](Index first, Index count) {
        const Tile<S> a = at.lanes(memory.a, h, p).middle_rows(first, count);
        kernel.scores(scores.keys(first, count), a);
        at.hide_later(value, p, first, a);
        exponentials<S>(a, stats.empty() ? nullptr : stats.row(0));
        if (!stats.empty()) scale_columns<S>(a, stats.row(1));
      });
    }
  }

  /// Fbar of a tile, and its tangent, for the ways back.
  void read_adjoint(BatchView<const S> ybar, Index j, const Place& p) const {
    at.read_outputs(ybar, j, p, memory.fbar, memory.fbar_t);
  }
  void read_adjoint_tangent(BatchView<const S> dybar, Index j, const Place& p) const {
    at.read_outputs(dybar, j, p, memory.dfbar, memory.dfbar_t);
  }

  /// Vbar = A^T Fbar,  Abar = Fbar V^T,  Zbar = A o (Abar - mean),  (Qbar, Kbar) from Zbar.
  /// The first tile of a sample sets the adjoints of keys and values, the others add to them. `first_time`: A
  /// is as `first_outputs` left it.
  void back(const Saved<S>& value, const Place& p, Index j, Saved<S>& bar, bool first_time) const {
    const Tile<const S> fbar = at.output_rows(memory.fbar, p), fbar_t = at.lanes(memory.fbar_t, 0, p);
    S* mean = memory.mean[0].data();
    for (Index h = 0; h < at.H; ++h) {
      const Scores<S> slopes = at.slopes(value, memory.qt, p, h);
      if (kernel.normalised())
        column_products<S>(at.output_lanes(fbar_t, h), at.lanes(value, kRt, 0, p, h), mean, false);
      const bool moves = !bar[at.moving_queries()].empty();
      bool divided = !first_time || !kernel.normalised();
      const Heaviest heaviest = moves ? this->heaviest(value, p, h) : Heaviest{};
      if (heaviest.any) {
        if (!divided)
          scale_columns<S>(at.lanes(memory.a, h, p).middle_rows(0, p.keys),
                           at.lanes(value, kStats, 0, p, h).row(1));
        divided = true;
        stand_apart(value, nullptr, p, j, h, heaviest);
        column_products<S>(at.output_lanes(fbar_t, h), at.lanes(memory.apart, 0, p), memory.c[0].data(),
                           false);
      }
      at.for_keys(p, [&](Index first, Index count) {
        const Tile<S> A = at.lanes(memory.a, h, p).middle_rows(first, count);
        if (!divided) scale_columns<S>(A, at.lanes(value, kStats, 0, p, h).row(1));
        if (!bar[kV].empty())
          sum_of_products<S>({{A.middle_cols(0, p.rows), at.output_columns(fbar, h)}},
                             keys(bar, kV, j, p, h, first, count), at.adds(p, h));
        if (!moves) return;
        const Tile<S> zbar = block(memory.zbar, p, count);
        sum_of_products<S>({{keys(value, kV, 0, p, h, first, count), at.output_lanes(fbar_t, h)}}, zbar);
        centre_adjoint<S>(A, mean, zbar);
        for_heaviest(heaviest, p, first, count,
                     [&](Index l, Index t) { zbar.row(l)[t] = -A.row(l)[t] * memory.c[0].data()[t]; });
        kernel.pull(slopes.keys(first, count), zbar, queries(bar, j, p, h), first > 0,
                    moving_keys(bar, j, p, h, first, count), at.adds(p, h));
      });
      if (moves && p.keys == 0) set_zero(queries(bar, j, p, h));
    }
  }

  /// dA = A o (dZ - s),  dR = dA V + A dV. An empty dA is zero.
  void forward_tangent(const Saved<S>& value, const Saved<S>& tangent, const Place& p, Index j) const {
    const bool moves = scores_move(tangent);
    at.transpose_queries(tangent, at.moving_queries(), memory.dqt, j, p);
    S* s = memory.s[0].data();
    for (Index h = 0; h < at.H; ++h) {
      const Scores<S> slopes = at.slopes(value, memory.qt, p, h);
      const Tile<const S> A = at.lanes(memory.a, h, p);
      const Tile<S> dA = moves ? at.lanes(memory.da, h, p) : Tile<S>{};
      if (moves) {
        const Scores<S> dscores = at.moves(tangent, memory.dqt, j, p, h);
        std::fill_n(s, A.cols, S(0));
        const Heaviest heaviest = this->heaviest(value, p, h);
        at.for_keys(p, [&](Index first, Index count) {
          const Tile<S> dZ = dA.middle_rows(first, count);
          kernel.scores_tangent(slopes.keys(first, count), dscores.keys(first, count), dZ);
          if (kernel.normalised() && !heaviest.any) add_weighted<S>(A.middle_rows(first, count), dZ, s);
        });
        if (heaviest.any) {
          for_heaviest(heaviest, p, 0, p.keys, [&](Index l, Index t) {
            const S own = dA.row(l)[t];
            for (Index key = 0; key < p.keys; ++key) dA.row(key)[t] -= own;
          });
          add_weighted<S>(A.middle_rows(0, p.keys), dA.middle_rows(0, p.keys), s);
        }
      }
      const Tile<S> dRt = at.lanes(memory.drt, h, p);
      at.for_keys(p, [&](Index first, Index count) {
        const Tile<const S> A_l = A.middle_rows(first, count);
        const Tile<S> dA_l = dA.middle_rows(first, count);
        if (moves) centre_scores<S>(A_l, s, dA_l);
        sum_of_products<S>({{keys(value, kV, 0, p, h, first, count).transpose(), dA_l},
                            {keys(tangent, kV, j, p, h, first, count).transpose(), A_l}},
                           dRt, first > 0);
      });
      if (p.keys == 0) set_zero(dRt);
    }
  }

  /// dVbar = dA^T Fbar + A^T dFbar,  dAbar = dFbar V^T + Fbar dV^T,
  /// dZbar = dA o (Abar - mean) + A o (dAbar - t),  (dQbar, dKbar) from Zbar and dZbar.
  /// Backwards through heads and keys: what the way forward visited last is still in cache.
  void back_tangent(const Saved<S>& value, const Saved<S>& tangent, const Place& p, Index j,
                    Saved<S>& dbar) const {
    const Tile<const S> fbar = at.output_rows(memory.fbar, p), fbar_t = at.lanes(memory.fbar_t, 0, p);
    const Tile<const S> dfbar = at.output_rows(memory.dfbar, p), dfbar_t = at.lanes(memory.dfbar_t, 0, p);
    S *mean = memory.mean[0].data(), *t = memory.t[0].data();
    for (Index h = at.H; h-- > 0;) {
      const Scores<S> slopes = at.slopes(value, memory.qt, p, h);
      const Scores<S> dscores = at.moves(tangent, memory.dqt, j, p, h);
      const Tile<const S> fbar_h = at.output_lanes(fbar_t, h), dfbar_h = at.output_lanes(dfbar_t, h);
      const Tile<const S> A = at.lanes(memory.a, h, p);
      const Tile<const S> dA = scores_move(tangent) ? at.lanes(memory.da, h, p) : Tile<S>{};
      if (kernel.normalised()) {
        const Tile<const S> Rt = at.lanes(value, kRt, 0, p, h);
        column_products<S>(fbar_h, Rt, mean, false);
        column_products<S>(dfbar_h, Rt, t, false);
        column_products<S>(fbar_h, at.lanes(memory.drt, h, p), t, true);
      }
      const bool moves = !dbar[at.moving_queries()].empty();
      const Heaviest heaviest = moves ? this->heaviest(value, p, h) : Heaviest{};
      S *c = memory.c[0].data(), *dc = memory.dc[0].data();
      if (heaviest.any) {
        stand_apart(value, &tangent, p, j, h, heaviest);
        column_products<S>(fbar_h, at.lanes(memory.apart, 0, p), c, false);
        column_products<S>(dfbar_h, at.lanes(memory.apart, 0, p), dc, false);
        column_products<S>(fbar_h, at.lanes(memory.dapart, 0, p), dc, true);
      }
      at.for_keys_backwards(p, [&](Index first, Index count) {
        const Tile<const S> A_l = A.middle_rows(first, count), dA_l = dA.middle_rows(first, count);
        if (!dbar[kV].empty())
          sum_of_products<S>({{dA_l.middle_cols(0, p.rows), at.output_columns(fbar, h)},
                              {A_l.middle_cols(0, p.rows), at.output_columns(dfbar, h)}},
                             keys(dbar, kV, j, p, h, first, count), at.adds(p, h, true));
        if (!moves) return;
        const Tile<S> zbar = block(memory.zbar, p, count), dzbar = block(memory.dzbar, p, count);
        const Tile<const S> V = keys(value, kV, 0, p, h, first, count);
        sum_of_products<S>({{V, fbar_h}}, zbar);
        sum_of_products<S>({{V, dfbar_h}, {keys(tangent, kV, j, p, h, first, count), fbar_h}}, dzbar);
        centre_tangent<S>(A_l, dA_l, mean, t, zbar, dzbar);
        for_heaviest(heaviest, p, first, count, [&](Index l, Index query) {
          const S a = A_l.row(l)[query], da = dA_l.empty() ? S(0) : dA_l.row(l)[query];
          zbar.row(l)[query] = -a * c[query];
          dzbar.row(l)[query] = -da * c[query] - a * dc[query];
        });
        kernel.pull_tangent(slopes.keys(first, count), dscores.keys(first, count), zbar, dzbar,
                            queries(dbar, j, p, h), (first + count) < p.keys,
                            moving_keys(dbar, j, p, h, first, count), at.adds(p, h, true));
      });
      if (moves && p.keys == 0) set_zero(queries(dbar, j, p, h));
    }
  }

  /// What a query that sees no key leaves: zero in place of what is infinite.
  static void replace(S* numbers, Index count, S infinite) {
    std::replace(numbers, numbers + count, infinite, S(0));
  }
  static void set_zero(Tile<S> out) {
    for (Index i = 0; i < out.rows; ++i) std::fill_n(out.row(i), out.cols, S(0));
  }

  /// F from R of all heads, into the rows of y.
  void write_outputs(Batch<S>& rt, const Place& p, Batch<S>& y, Index j) const {
    Tile<const S> ft = at.lanes(rt, 0, p);
    if (at.combine == Heads::concatenated) {
      ft.rows = at.H * at.e;  // the heads stand one below the other
    } else if (at.H > 1) {
      const Tile<S> sum = at.lanes(memory.ft, 0, p);
      for (Index i = 0; i < at.e; ++i)
        for_lanes<S>(ft.cols, [&](Index l) {
          Pack<S> total = load(ft.row(i) + l);
          for (Index h = 1; h < at.H; ++h) total += load(at.lanes(rt, h, p).row(i) + l);
          store<S>(sum.row(i) + l, total);
        });
      ft = sum;
    }
    transpose<S>(ft, tile(memory.rows[0]).middle_rows(0, ft.cols));
    auto to = y.slice(j, at.first_row(p), p.rows);
    for (Index t = 0; t < p.rows; ++t)
      std::copy_n(memory.rows[0].row(t).data(), at.outputs, to.row(t).data());
  }
};

}  // namespace basin::tiled
