#include "model/tiled_attention.h"

#include <array>
#include <limits>
#include <stdexcept>

#include "linalg/errors.h"
#include "linalg/simd.h"
#include "model/exact_centring.h"
#include "model/tile_weights.h"

namespace basin {
namespace {

// The parameter blocks, and what the rules save under the same numbers, for k vectors and B samples:
//   saved[kQ], [kK]   Q, K = X W    B n rows, those of sample i next to each other
//   saved[kV]         V = X W_V     likewise
//                                   narrow heads side by side in batch j, wide ones alone in batch j H + h
//
// `value` saves these themselves, `tangent` their tangents, `adjoint` their adjoints if xbar is wanted. For
// each sample and head, one below the other, `value` and `tangent` add, in rows of row_step(n) numbers:
//   saved[kNorms]     norms          batch j, a row for queries and one for keys (kernels that have them)
// and `value`:
//   saved[kStats]     max z, 1 / sum exp(z - max) over the keys, a row each (normalised kernels)
//   saved[kRt]        R^T = (A V)^T, e rows                                 (normalised kernels)
//
// and, of a kernel that ignores shifts of keys, where tokens of a sample have something in common:
//   saved[kX]         X without it, in whose place keys are computed: B n x D
//
// With bilinear scores Z = X M X^T, there are no tangents and adjoints of K, none of Q either, but of
//   saved[kXM]        X M            n x D per sample and head, as Q and K
// and `adjoint` saves
//   saved[kM]         Mbar           D x D, batch j H + h
constexpr std::size_t kQ = 0, kK = 1, kV = 2, kNorms = 3, kStats = 4, kRt = 5, kXM = 6, kM = 7, kX = 8,
                      kSaved = 9;
constexpr std::array<std::size_t, 3> kProjections = {kQ, kK, kV};

// Heads of fewer columns than this stand side by side: together they make wider matrix products. Others are
// read faster when their rows follow each other in memory.
constexpr Index kWideHead = 24;
// Queries of a tile, and keys of a block: measured, see PERFORMANCE.md. Fewer queries if the two arrays of a
// tile, for all heads and keys, would not fit into the second-level cache with the keys and values.
constexpr Index kQueries = 48, kKeys = 48, kTileNumbers = 49152;
// A softmax weight above this is taken for 1 minus the others.
constexpr double kHeavy = 1 - 1.0 / 64;

/// Working memory of a thread, kept from call to call: nothing is allocated in the long run.
template <class S>
struct Scratch {
  Batch<S> a, da;          // of a tile, per head: A, and dZ, then dA
  Batch<S> qt, dqt;        // Q^T per head, and its tangent (or that of X M)
  Batch<S> zbar, dzbar;    // of a block of keys: Abar, then Zbar; dAbar, then dZbar
  Batch<S> rt, drt, ft;    // (A V)^T and its tangent per head, and what the heads give together
  Batch<S> s, mean, t;     // per query: the sums over keys of the formulas below
  Batch<S> apart, dapart;  // of a head: (R - V_heaviest)^T and its tangent
  Batch<S> c, dc, rest,
      drest;  // per query: <Fbar, apart> and its tangent, the sums of light weights and of theirs
  Batch<S> rows, fbar, dfbar;  // rows of outputs and of their adjoints, in whole packs
  Batch<S> fbar_t, dfbar_t;    // the transposes of the last two
  Saved<S> bar;                // adjoints of Q, K and V
  Batch<S> x;                  // inputs, their rows further apart
  Batch<S> mbar;               // Mbar of a head
};

template <class S>
Scratch<S>& scratch() {
  thread_local Scratch<S> memory;
  return memory;
}

/// A tile: `rows` tokens of a sample from `first`, as queries against all of its tokens.
struct Place {
  Index sample, first, rows;
};

/// The queries of a tile and head that give nearly all weight to one key, and that key; -1 for the others.
///
/// Softmax takes the mean over keys away, a_l (x_l - sum a x), and the sum of the results is zero. Where a_l
/// = 1 - e the difference is some e |x|, lost beside the rounding eps |x| of its terms. What such a key gets
/// is therefore computed as minus what the others get, all of which keep their digits.
struct Heaviest {
  bool any = false;
  std::array<Index, kQueries> key;
};

/// Where the numbers of a tile and a head stand.
template <class S>
struct Layout {
  Index n, D, H, d, e, outputs;
  Heads combine;
  bool bilinear;
  /// Queries of a tile: whole packs, unless one tile has them all.
  const Index tile_rows =
      std::min(n, std::clamp(kTileNumbers / (H * n) / kLanes<S> * kLanes<S>, kLanes<S>, kQueries));

  /// What the tangents and adjoints of scores go through.
  std::size_t moving_queries() const { return bilinear ? kXM : kQ; }

  Index width(std::size_t b) const { return b == kV ? e : b == kXM ? D : d; }
  /// Whether all heads stand side by side; the number of matrices, and of heads in each.
  bool together(std::size_t b) const { return width(b) < kWideHead; }
  Index groups(std::size_t b) const { return together(b) ? 1 : H; }
  Index heads_together(std::size_t b) const { return together(b) ? H : 1; }
  void resize(Saved<S>& saved, std::size_t b, Index count, Index rows) const {
    saved[b].resize(count * groups(b), rows, row_step(b));
  }
  Index row_step(std::size_t b) const { return basin::row_step<S>(heads_together(b) * width(b)); }
  /// Group g of a projection in vector j: all samples. Empty if it is zero.
  template <class SavedType>
  auto projection(SavedType& saved, std::size_t b, Index j, Index g) const {
    return tile(saved[b][j * groups(b) + g]).middle_cols(0, heads_together(b) * width(b));
  }
  /// The columns of a parameter block that belong to it.
  template <class T>
  Tile<T> columns(Tile<T> W, std::size_t b, Index g) const {
    const Index cols = heads_together(b) * width(b);
    return W.middle_cols(g * cols, cols);
  }

  Index output_width() const { return combine == Heads::summed ? e : H * e; }
  template <class Body>
  void for_tiles(Index samples, const Body& body) const {
    for (Index i = 0; i < samples; ++i)
      for (Index t = 0; t < n; t += tile_rows) body(Place{i, t, std::min(tile_rows, n - t)});
  }
  Index first_row(const Place& p) const { return p.sample * n + p.first; }

  /// Head h of a projection in vector j: all samples; and the columns of a parameter block for it.
  template <class SavedType>
  auto head(SavedType& saved, std::size_t b, Index j, Index h) const {
    return together(b) ? tile(saved[b][j]).middle_cols(h * width(b), width(b))
                       : tile(saved[b][j * H + h]).middle_cols(0, width(b));
  }
  template <class T>
  Tile<T> columns(BlockView<T> w, std::size_t b, Index j, Index h) const {
    return tile(w(b, j, 0)).middle_cols(h * width(b), width(b));
  }
  /// The same for one sample; or what is saved for that sample and head.
  template <class SavedType>
  auto head(SavedType& saved, std::size_t b, Index j, Index sample, Index h) const {
    if (b == kQ || b == kK || b == kV || b == kXM) return head(saved, b, j, h).middle_rows(sample * n, n);
    const Index rows = b == kRt ? e : 2;
    return tile(saved[b][j]).middle_rows((sample * H + h) * rows, rows).middle_cols(0, padded<S>(n));
  }
  /// The columns of the last that belong to the queries of a tile.
  template <class SavedType>
  auto lanes(SavedType& saved, std::size_t b, Index j, const Place& p, Index h) const {
    return head(saved, b, j, p.sample, h).middle_cols(p.first, padded<S>(p.rows));
  }
  /// Queries and keys of a tile, whose transposed queries stand in `qt`: see `transpose_queries`.
  Scores<S> scores(const Saved<S>& saved, Batch<S>& qt, Index j, const Place& p, Index h) const {
    const Tile<const S> norms = head(saved, kNorms, j, p.sample, h);
    return {head(saved, kQ, j, p.sample, h).middle_rows(p.first, p.rows),
            saved[kQ].empty() ? Tile<S>{} : lanes(qt, h, p), head(saved, kK, j, p.sample, h),
            norms.empty() ? nullptr : norms.row(0) + p.first, norms.empty() ? nullptr : norms.row(1)};
  }
  /// The tokens that a projection is of.
  Tile<const S> tokens(const Saved<S>& value, std::size_t b) const {
    return b == kK && !value[kX].empty() ? tile(value[kX][0]) : tile(value.input[0]);
  }
  /// What the derivatives of scores depend on at the point: the same, or X in place of keys.
  Scores<S> slopes(const Saved<S>& value, Batch<S>& qt, const Place& p, Index h) const {
    if (!bilinear) return scores(value, qt, 0, p, h);
    return {{}, {}, tokens(value, kK).middle_rows(p.sample * n, n)};
  }
  /// The tangents of queries and keys.
  Scores<S> moves(const Saved<S>& tangent, Batch<S>& dqt, Index j, const Place& p, Index h) const {
    if (!bilinear) return scores(tangent, dqt, j, p, h);
    return {{}, lanes(dqt, h, p), {}};
  }
  void transpose_queries(const Saved<S>& saved, std::size_t b, Batch<S>& qt, Index j, const Place& p) const {
    if (saved[b].empty()) return;
    for (Index h = 0; h < H; ++h)
      transpose<S>(head(saved, b, j, p.sample, h).middle_rows(p.first, p.rows), lanes(qt, h, p));
  }

  /// Matrix j of working memory with a lane for each query of a tile.
  Tile<S> lanes(Batch<S>& memory, Index j, const Place& p) const {
    return tile(memory[j]).middle_cols(0, padded<S>(p.rows));
  }

  /// Calls body(first, count) for blocks of the keys of a sample.
  template <class Body>
  void for_keys(const Body& body) const {
    for (Index l = 0; l < n; l += kKeys) body(l, std::min(kKeys, n - l));
  }

  /// The same from the last block to the first.
  template <class Body>
  void for_keys_backwards(const Body& body) const {
    for (Index l = (n - 1) / kKeys * kKeys; l >= 0; l -= kKeys) body(l, std::min(kKeys, n - l));
  }

  /// The part of rows (of columns, transposed) of outputs that belongs to head h.
  Tile<const S> output_columns(Tile<const S> rows, Index h) const {
    return rows.middle_cols(combine == Heads::summed ? 0 : h * e, e);
  }
  Tile<const S> output_lanes(Tile<const S> columns, Index h) const {
    return columns.middle_rows(combine == Heads::summed ? 0 : h * e, e);
  }
  /// Copies rows of outputs into whole packs, zero beyond the outputs; and their transpose, zero beyond the
  /// rows of the tile.
  void read_outputs(BatchView<const S> y, Index j, const Place& p, Batch<S>& memory,
                    Batch<S>& memory_t) const {
    const Tile<S> to = output_rows(memory, p);
    const auto from = y.slice(j, first_row(p), p.rows);
    for (Index t = 0; t < p.rows; ++t) {
      std::copy_n(from.row(t).data(), outputs, to.row(t));
      std::fill(to.row(t) + outputs, to.row(t) + to.cols, S(0));
    }
    transpose<S>(to, lanes(memory_t, 0, p));
  }
  Tile<S> output_rows(Batch<S>& memory, const Place& p) const {
    return tile(memory[0]).middle_rows(0, p.rows);
  }

  /// Makes room for what a tile needs.
  void resize(Scratch<S>& memory) const {
    const Index lanes = padded<S>(tile_rows);
    for (Batch<S>* heads : {&memory.a, &memory.da}) heads->resize(H, n, lanes);
    memory.qt.resize(H, d, lanes);
    memory.dqt.resize(H, width(moving_queries()), lanes);
    for (Batch<S>* heads : {&memory.rt, &memory.drt}) heads->resize(H, e, lanes);
    for (Batch<S>* keys : {&memory.zbar, &memory.dzbar}) keys->resize(1, std::min(kKeys, n), lanes);
    for (Batch<S>* sums :
         {&memory.s, &memory.mean, &memory.t, &memory.c, &memory.dc, &memory.rest, &memory.drest})
      sums->resize_zero(1, 1, lanes);
    for (Batch<S>* columns : {&memory.apart, &memory.dapart, &memory.ft}) columns->resize(1, e, lanes);
    for (Batch<S>* columns : {&memory.fbar_t, &memory.dfbar_t}) columns->resize(1, output_width(), lanes);
    for (Batch<S>* rows : {&memory.rows, &memory.fbar, &memory.dfbar}) rows->resize(1, lanes, output_width());
  }
};

}  // namespace

/// One call of a rule: the layout, the kernel and the point.
template <class S>
struct TiledAttention<S>::Pass {
  const Layout<S> at;
  const TileKernel<S>& kernel;
  Scratch<S>& memory = scratch<S>();

  // ---- between inputs and queries, keys, values: products over all tokens of the chunk --------------------

  /// Q, K, V = X W
  void project(BlockView<const S> w, BatchView<const S> x, Saved<S>& value) const {
    value.input = x;
    value.values.resize(kSaved);
    centre_tokens(value);
    for (const std::size_t b : kProjections) {
      at.resize(value, b, 1, x.rows());
      for (Index g = 0; g < at.groups(b); ++g)
        sum_of_products<S>({{at.tokens(value, b), at.columns(tile(w(b, 0, 0)), b, g)}},
                           at.projection(value, b, 0, g));
    }
    prepare(x.rows() / at.n, value, nullptr);
  }

  /// Tokens with a common offset make large scores that softmax does not see, and on the way back Zbar K and
  /// X^T Kbar, where the sum of Zbar and that of Kbar over keys are zero: all would lose the digits of the
  /// offset.
  void centre_tokens(Saved<S>& value) const {
    value[kX].clear();
    if (!kernel.ignores_shifts_of_keys()) return;
    const Index rows = value.input.rows();
    for (Index first = 0; first < rows; first += at.n)
      for_common_parts({tile(value.input[0]).middle_rows(first, at.n)}, [&](Index column, S c) {
        if (value[kX].empty()) {
          value[kX].resize(1, rows, at.D);
          value[kX][0] = value.input[0];
        }
        subtract_from_column(tile(value[kX][0]).middle_rows(first, at.n), column, c);
      });
  }

  /// dQ = X dW_Q + dX W_Q, and so on
  void project_tangent(BlockView<const S> w, const Saved<S>& value, BatchView<const S> dx,
                       BlockView<const S> dw, Saved<S>& tangent) const {
    const BatchView<const S> x = value.input;
    check_fixed(dx, nullptr);
    tangent.input = dx;
    tangent.values.resize(kSaved);
    for (const std::size_t b : kProjections) {
      tangent[b].clear();
      if (dx.empty() && (!dw.has(b) || (at.bilinear && b == kK))) continue;
      at.resize(tangent, b, dw.count(), x.rows());
      for (Index j = 0; j < dw.count(); ++j)
        for (Index g = 0; g < at.groups(b); ++g)
          sum_of_products<S>(
              {{at.tokens(value, b), dw.has(b) ? at.columns(tile(dw(b, j, 0)), b, g) : Tile<const S>{}},
               {dx.empty() ? Tile<const S>{} : tile(dx[j]), at.columns(tile(w(b, 0, 0)), b, g)}},
              at.projection(tangent, b, j, g));
    }
    if (at.bilinear) bilinear_tangent(w, value, dw, tangent);
    prepare(x.rows() / at.n, tangent, &value);
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
        if (dw.has(kQ)) add_times_transpose<S>(at.head(tangent, kQ, j, h), at.columns(w, kK, 0, h), dXM);
        if (dw.has(kK)) add_times_transpose<S>(at.head(value, kQ, 0, h), at.columns(dw, kK, j, h), dXM);
      }
  }

  /// What follows the projections: the kernel's own preparation. `point`: for tangents.
  void prepare(Index samples, Saved<S>& saved, const Saved<S>* point) const {
    const Index count = std::max(saved[kQ].count(), saved[kK].count()) / at.groups(kQ);
    saved[kNorms].clear();
    if (kernel.has_norms() && count > 0) {
      saved[kNorms].resize_zero(count, samples * at.H * 2, row_step<S>(at.n));
      for (Index j = 0; j < count; ++j)
        for (Index i = 0; i < samples; ++i)
          for (Index h = 0; h < at.H; ++h) {
            const Tile<S> q = at.head(saved, kQ, j, i, h), k = at.head(saved, kK, j, i, h);
            const Tile<S> norms = at.head(saved, kNorms, j, i, h);
            if (point)
              kernel.prepare_tangent(at.head(*point, kQ, 0, i, h), at.head(*point, kK, 0, i, h), q, k,
                                     norms.row(0), norms.row(1));
            else
              kernel.prepare(q, k, norms.row(0), norms.row(1));
          }
    }
  }

  /// Makes room for the adjoints of those projections that are wanted.
  void resize_adjoints(Index count, Index rows, bool want_QK, bool want_V, Saved<S>& bar) const {
    bar.values.resize(kSaved);
    for (const std::size_t b : {kQ, kK, kV, kXM}) {
      bar[b].clear();
      const bool in_use = b == kV ? want_V : want_QK && at.bilinear == (b == kXM);
      if (in_use) at.resize(bar, b, count, rows);
    }
  }

  /// Wbar += X^T Qbar,  Xbar = sum Qbar W^T; with the tangents, the product rule on both:
  /// dWbar += X^T dQbar + dX^T Qbar,  dXbar = sum dQbar W^T + Qbar dW^T. `keep`: what tangents will need.
  void project_adjoint(BlockView<const S> w, const Saved<S>& value, const Saved<S>& bar, BlockView<S> wbar,
                       Batch<S>* xbar, Saved<S>* keep, BatchView<const S> dx = {},
                       const BlockView<const S>* dw = nullptr, const Saved<S>* point_bar = nullptr) const {
    check_fixed(dx, xbar);
    const BatchView<const S> x = value.input;
    memory.x.resize(1, x.rows(), row_step<S>(x.cols()));  // rows apart, to be read down the columns
    memory.x[0].leftCols(x.cols()) = x[0];
    const Tile<const S> X = tile(memory.x[0]).middle_cols(0, x.cols());
    if (xbar) xbar->resize_zero(wbar.count(), x.rows(), x.cols());
    for (Index j = 0; j < wbar.count(); ++j)
      for (const std::size_t b : kProjections)
        for (Index g = 0; g < at.groups(b) && !bar[b].empty(); ++g) {
          const Tile<const S> Pbar = at.projection(bar, b, j, g),
                              tokens = b == kK && !value[kX].empty() ? at.tokens(value, b) : X;
          const Tile<const S> point_Pbar =
              point_bar && !point_bar->values.empty() ? at.projection(*point_bar, b, 0, g) : Tile<const S>{};
          if (wbar.has(b))
            sum_of_products<S>({{tokens.transpose(), Pbar},
                                {dx.empty() ? Tile<const S>{} : tile(dx[j]).transpose(), point_Pbar}},
                               at.columns(tile(wbar(b, j, 0)), b, g), true);
          if (!xbar) continue;
          add_times_transpose<S>(Pbar, at.columns(tile(w(b, 0, 0)), b, g), tile((*xbar)[j]));
          if (dw && dw->has(b))
            add_times_transpose<S>(point_Pbar, at.columns(tile((*dw)(b, j, 0)), b, g), tile((*xbar)[j]));
        }
    if (!bar[kXM].empty()) bilinear_adjoint(w, X, bar, wbar, keep, dw, point_bar);
  }

  /// Mbar = X^T (X M)bar,  W_Qbar += Mbar W_K,  W_Kbar += Mbar^T W_Q; with tangents, the product rule:
  /// dW_Qbar += dMbar W_K + Mbar dW_K,  dW_Kbar += dMbar^T W_Q + Mbar^T dW_Q
  void bilinear_adjoint(BlockView<const S> w, Tile<const S> X, const Saved<S>& bar, BlockView<S> wbar,
                        Saved<S>* keep, const BlockView<const S>* dw, const Saved<S>* point_bar) const {
    Batch<S>& memory_of_M = keep ? (*keep)[kM] : memory.mbar;
    memory_of_M.resize(wbar.count() * at.H, at.D, basin::row_step<S>(at.D));
    const auto of_vector = [&](std::size_t b, Index j, Index h) {
      return dw && dw->has(b) ? at.columns(*dw, b, j, h) : Tile<const S>{};
    };
    for (Index j = 0; j < wbar.count(); ++j)
      for (Index h = 0; h < at.H; ++h) {
        const Tile<S> Mbar = tile(memory_of_M[j * at.H + h]).middle_cols(0, at.D);
        const Tile<const S> point =
            point_bar ? tile((*point_bar)[kM][h]).middle_cols(0, at.D) : Tile<const S>{};
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

  // ---- one tile -------------------------------------------------------------------------------------------
  //
  // Softmax couples the keys of a query by sums over them. Those of the way back are scalar products of short
  // vectors, with R = A V, so that it visits every block of keys once:
  //
  //     s    = sum A o dZ
  //     mean = sum A o Abar               = <Rbar, R>
  //     t    = sum dA o Abar + A o dAbar  = <Rbar, dR> + <dRbar, R>
  //
  // A kernel that is not normalised has no such sums: there they are zero. For a key that has nearly all
  // weight of a query (see Heaviest), with D = R - V_heaviest = sum over the others of A (V - V_heaviest):
  //
  //     Abar - mean = -<Rbar, D>,    dAbar - t = -<dRbar, D> - <Rbar, dD>,    and dZ is taken relative to its
  //     own

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
        at.for_keys([&](Index first, Index count) {
          kernel.scores(scores.keys(first, count), A.middle_rows(first, count));
          raise_to_largest<S>(A.middle_rows(first, count), max);
        });
      }
      at.for_keys([&](Index first, Index count) {
        const Tile<S> A_l = A.middle_rows(first, count);
        if (!kernel.normalised()) kernel.scores(scores.keys(first, count), A_l);
        exponentials<S>(A_l, max);
        if (sum) add_columns<S>(A_l, sum);
        sum_of_products<S>({{keys(value, kV, 0, p, h, first, count).transpose(), A_l}}, Rt, first > 0);
      });
      if (!kernel.normalised()) continue;
      for (Index t = 0; t < A.cols; ++t) sum[t] = 1 / sum[t];
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
      at.for_keys([&](Index first, Index count) {
        const Tile<S> a = at.lanes(memory.a, h, p).middle_rows(first, count);
        kernel.scores(scores.keys(first, count), a);
        exponentials<S>(a, stats.empty() ? nullptr : stats.row(0));
        if (!stats.empty()) scale_columns<S>(a, stats.row(1));
      });
    }
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
        if (!divided) scale_columns<S>(at.lanes(memory.a, h, p), at.lanes(value, kStats, 0, p, h).row(1));
        divided = true;
        stand_apart(value, nullptr, p, j, h, heaviest);
        column_products<S>(at.output_lanes(fbar_t, h), at.lanes(memory.apart, 0, p), memory.c[0].data(),
                           false);
      }
      at.for_keys([&](Index first, Index count) {
        const Tile<S> A = at.lanes(memory.a, h, p).middle_rows(first, count);
        if (!divided) scale_columns<S>(A, at.lanes(value, kStats, 0, p, h).row(1));
        if (!bar[kV].empty())
          sum_of_products<S>({{A.middle_cols(0, p.rows), at.output_columns(fbar, h)}},
                             keys(bar, kV, j, p, h, first, count), p.first > 0);
        if (!moves) return;
        const Tile<S> zbar = block(memory.zbar, p, count);
        sum_of_products<S>({{keys(value, kV, 0, p, h, first, count), at.output_lanes(fbar_t, h)}}, zbar);
        centre_adjoint<S>(A, mean, zbar);
        for_heaviest(heaviest, p, first, count,
                     [&](Index l, Index t) { zbar.row(l)[t] = -A.row(l)[t] * memory.c[0].data()[t]; });
        kernel.pull(slopes.keys(first, count), zbar, queries(bar, j, p, h), first > 0,
                    moving_keys(bar, j, p, h, first, count), p.first > 0);
      });
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
        at.for_keys([&](Index first, Index count) {
          const Tile<S> dZ = dA.middle_rows(first, count);
          kernel.scores_tangent(slopes.keys(first, count), dscores.keys(first, count), dZ);
          if (kernel.normalised() && !heaviest.any) add_weighted<S>(A.middle_rows(first, count), dZ, s);
        });
        if (heaviest.any) {
          for_heaviest(heaviest, p, 0, at.n, [&](Index l, Index t) {
            const S own = dA.row(l)[t];
            for (Index key = 0; key < at.n; ++key) dA.row(key)[t] -= own;
          });
          add_weighted<S>(A, dA, s);
        }
      }
      const Tile<S> dRt = at.lanes(memory.drt, h, p);
      at.for_keys([&](Index first, Index count) {
        const Tile<const S> A_l = A.middle_rows(first, count);
        const Tile<S> dA_l = dA.middle_rows(first, count);
        if (moves) centre_scores<S>(A_l, s, dA_l);
        sum_of_products<S>({{keys(value, kV, 0, p, h, first, count).transpose(), dA_l},
                            {keys(tangent, kV, j, p, h, first, count).transpose(), A_l}},
                           dRt, first > 0);
      });
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
      at.for_keys_backwards([&](Index first, Index count) {
        const Tile<const S> A_l = A.middle_rows(first, count), dA_l = dA.middle_rows(first, count);
        if (!dbar[kV].empty())
          sum_of_products<S>({{dA_l.middle_cols(0, p.rows), at.output_columns(fbar, h)},
                              {A_l.middle_cols(0, p.rows), at.output_columns(dfbar, h)}},
                             keys(dbar, kV, j, p, h, first, count), p.first > 0);
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
                            queries(dbar, j, p, h),
                            first + count<at.n, moving_keys(dbar, j, p, h, first, count), p.first> 0);
      });
    }
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

  // ---- all tiles of a second-order product ----------------------------------------------------------------

  /// The tangent of the adjoint rule. `turn(place, j)` makes dybar ready once dR of a tile is in memory.
  template <class Turn>
  void second_order(BlockView<const S> w, const Saved<S>& value, const Saved<S>& adjoint,
                    const Saved<S>& tangent, BlockView<const S> dw, BatchView<const S> dybar,
                    BlockView<S> dwbar, Batch<S>* dxbar, const Turn& turn) const {
    const Index rows = value.input.rows();
    const bool want_QK = dwbar.has(kQ) || dwbar.has(kK) || dxbar;
    Saved<S>& dbar = memory.bar;
    resize_adjoints(dw.count(), rows, want_QK, dwbar.has(kV) || dxbar, dbar);
    at.for_tiles(rows / at.n, [&](const Place& p) {
      weights(value, p);
      at.read_outputs(adjoint.input, 0, p, memory.fbar, memory.fbar_t);
      for (Index j = 0; j < dw.count(); ++j) {
        forward_tangent(value, tangent, p, j);
        turn(p, j);
        at.read_outputs(dybar, j, p, memory.dfbar, memory.dfbar_t);
        back_tangent(value, tangent, p, j, dbar);
      }
    });
    project_adjoint(w, value, dbar, dwbar, dxbar, nullptr, tangent.input, &dw, &adjoint);
  }

  /// Where the adjoints of Q, K and V go: they are kept only for an input that moves.
  Saved<S>& adjoints(BatchView<const S> ybar, bool keep, Saved<S>& adjoint) const {
    adjoint.input = ybar;
    if (keep) return adjoint;
    adjoint.values.resize(at.bilinear ? kSaved : 0);
    return memory.bar;
  }
  void check_fixed(BatchView<const S> dx, const Batch<S>* xbar) const {
    if (at.bilinear && (!dx.empty() || xbar))
      throw std::logic_error("attention with bilinear scores: the input may not move");
  }

 private:
  static bool scores_move(const Saved<S>& tangent) {
    return !tangent[kQ].empty() || !tangent[kK].empty() || !tangent[kXM].empty();
  }
  /// Keys (or values) of a block; queries of a tile.
  template <class SavedType>
  auto keys(SavedType& saved, std::size_t b, Index j, const Place& p, Index h, Index first,
            Index count) const {
    return at.head(saved, b, j, p.sample, h).middle_rows(first, count);
  }
  Tile<S> queries(Saved<S>& saved, Index j, const Place& p, Index h) const {
    return at.head(saved, at.moving_queries(), j, p.sample, h).middle_rows(p.first, p.rows);
  }
  /// Adjoints of keys: none if they are inputs.
  Tile<S> moving_keys(Saved<S>& saved, Index j, const Place& p, Index h, Index first, Index count) const {
    return at.bilinear ? Tile<S>{} : keys(saved, kK, j, p, h, first, count);
  }
  Tile<S> block(Batch<S>& array, const Place& p, Index count) const {
    return at.lanes(array, 0, p).middle_rows(0, count);
  }

  /// From A of a head in memory, which need not be divided by its sums: the largest weight is known.
  Heaviest heaviest(const Saved<S>& value, const Place& p, Index h) const {
    Heaviest found;
    if (!kernel.normalised() || at.n == 1) return found;
    const S* largest = at.lanes(value, kStats, 0, p, h).row(1);
    for (Index t = 0; t < p.rows; ++t) found.any |= largest[t] > S(kHeavy);
    if (!found.any) return found;
    const Tile<const S> A = at.lanes(memory.a, h, p);
    for (Index t = 0; t < p.rows; ++t) {
      found.key[t] = -1;
      for (Index l = 0; l < at.n && largest[t] > S(kHeavy) && found.key[t] < 0; ++l)
        if (A.row(l)[t] > S(kHeavy)) found.key[t] = l;
    }
    return found;
  }
  /// Calls body(key - first, query) for those whose heaviest key is one of a block.
  template <class Body>
  static void for_heaviest(const Heaviest& heaviest, const Place& p, Index first, Index count,
                           const Body& body) {
    for (Index t = 0; heaviest.any && t < p.rows; ++t)
      if (heaviest.key[t] >= first && heaviest.key[t] < first + count) body(heaviest.key[t] - first, t);
  }
  /// apart = (R - V_heaviest)^T of these queries, and dapart its tangent, if there is one; of the others,
  /// something else. zbar and dzbar serve as working memory.
  void stand_apart(const Saved<S>& value, const Saved<S>* tangent, const Place& p, Index j, Index h,
                   const Heaviest& heaviest) const {
    const Tile<S> D = at.lanes(memory.apart, 0, p), dD = at.lanes(memory.dapart, 0, p);
    S *rest = memory.rest[0].data(), *drest = memory.drest[0].data();
    for (S* sums : {rest, drest}) std::fill_n(sums, D.cols, S(0));
    const auto light = [&](Batch<S>& from, Batch<S>& scratch, Index first, Index count, S* sums) {
      const Tile<S> part = block(scratch, p, count), all = at.lanes(from, h, p).middle_rows(first, count);
      for (Index l = 0; l < count; ++l) std::copy_n(all.row(l), all.cols, part.row(l));
      for_heaviest(heaviest, p, first, count, [&](Index l, Index t) { part.row(l)[t] = 0; });
      add_columns<S>(part, sums);
      return part;
    };
    at.for_keys([&](Index first, Index count) {
      const Tile<const S> V = keys(value, kV, 0, p, h, first, count).transpose();
      const Tile<const S> a = light(memory.a, memory.zbar, first, count, rest);
      sum_of_products<S>({{V, a}}, D, first > 0);
      if (!tangent) return;
      const Tile<const S> dV = keys(*tangent, kV, j, p, h, first, count).transpose();
      const Tile<const S> da =
          scores_move(*tangent) ? light(memory.da, memory.dzbar, first, count, drest) : Tile<S>{};
      sum_of_products<S>({{V, da}, {dV, a}}, dD, first > 0);
    });
    for_heaviest(heaviest, p, 0, at.n, [&](Index l, Index t) {
      const Tile<const S> V = keys(value, kV, 0, p, h, l, 1);
      const Tile<const S> dV = tangent ? keys(*tangent, kV, j, p, h, l, 1) : Tile<const S>{};
      for (Index i = 0; i < at.e; ++i) {
        D.row(i)[t] -= rest[t] * V.row(0)[i];
        if (tangent) dD.row(i)[t] -= drest[t] * V.row(0)[i] + (dV.empty() ? S(0) : rest[t] * dV.row(0)[i]);
      }
    });
  }
};

template <class S>
TiledAttention<S>::TiledAttention(Shape input, Index heads, Index head_dim, Index value_dim, Heads combine,
                                  Index outputs, std::unique_ptr<const TileKernel<S>> kernel,
                                  ScoreRules rules)
    : Layer<S>(input, {input.tokens, outputs}),
      heads_(heads),
      head_dim_(head_dim),
      value_dim_(value_dim),
      combine_(combine),
      kernel_(std::move(kernel)),
      rules_(rules) {
  if (input.tokens < 1 || input.width < 1 || heads < 1 || head_dim < 1 || outputs < 1)
    throw InputError(
        "attention: tokens n, embedding dimension D, heads H, head dimension d and outputs D_out must all be "
        "at least 1");
  const Index width = combine == Heads::summed ? value_dim : heads * value_dim;
  if (combine == Heads::summed ? outputs > width : outputs != width)
    throw InputError("attention: " + std::to_string(outputs) + " outputs from values of width " +
                     std::to_string(width));
}

template <class S>
std::vector<ParameterBlock> TiledAttention<S>::blocks() const {
  const Index D = this->input().width;
  const Index qk = row_step<S>(heads_ * head_dim_), v = row_step<S>(heads_ * value_dim_);
  return {{"W_Q", {D, qk}}, {"W_K", {D, qk}}, {"W_V", {D, v}}};
}

template <class S>
auto TiledAttention<S>::pass() const -> Pass {
  const Pass pass{{this->input().tokens, this->input().width, heads_, head_dim_, value_dim_,
                   this->output().width, combine_, rules_ == ScoreRules::bilinear},
                  *kernel_};
  pass.at.resize(pass.memory);
  return pass;
}

template <class S>
void TiledAttention<S>::value(BlockView<const S> w, BatchView<const S> x, Saved<S>& value,
                              Batch<S>& y) const {
  const Pass pass = this->pass();
  pass.project(w, x, value);
  pass.resize_stats(x.rows() / pass.at.n, value);
  y.resize(1, x.rows(), this->output().width);
  pass.at.for_tiles(x.rows() / pass.at.n, [&](const Place& p) { pass.first_outputs(value, p, y); });
}

template <class S>
void TiledAttention<S>::gradient(BlockView<const S> w, BatchView<const S> x, const RowRule<S>& loss,
                                 Saved<S>& value, Batch<S>& y, Batch<S>& ybar, Saved<S>& adjoint,
                                 BlockView<S> wbar, Batch<S>* xbar) const {
  const Pass pass = this->pass();
  const bool want_QK = wbar.has(kQ) || wbar.has(kK) || xbar;
  pass.project(w, x, value);
  pass.resize_stats(x.rows() / pass.at.n, value);
  y.resize(1, x.rows(), this->output().width);
  ybar.resize(1, x.rows(), this->output().width);
  Saved<S>& bar = pass.adjoints(ybar.view(), xbar, adjoint);
  pass.resize_adjoints(1, x.rows(), want_QK, wbar.has(kV) || xbar, bar);
  pass.at.for_tiles(x.rows() / pass.at.n, [&](const Place& p) {
    pass.first_outputs(value, p, y);
    const Index row = pass.at.first_row(p);
    loss.gradient(row, y.slice(0, row, p.rows), ybar.slice(0, row, p.rows));
    pass.at.read_outputs(ybar.view(), 0, p, pass.memory.fbar, pass.memory.fbar_t);
    pass.back(value, p, 0, bar, true);
  });
  pass.project_adjoint(w, value, bar, wbar, xbar, &adjoint);
}

template <class S>
void TiledAttention<S>::tangent(BlockView<const S> w, const Saved<S>& value, BatchView<const S> dx,
                                BlockView<const S> dw, Saved<S>& tangent, Batch<S>& dy) const {
  const Pass pass = this->pass();
  const Index rows = value.input.rows();
  pass.project_tangent(w, value, dx, dw, tangent);
  dy.resize(dw.count(), rows, this->output().width);
  pass.at.for_tiles(rows / pass.at.n, [&](const Place& p) {
    pass.weights(value, p);
    for (Index j = 0; j < dw.count(); ++j) {
      pass.forward_tangent(value, tangent, p, j);
      pass.write_outputs(pass.memory.drt, p, dy, j);
    }
  });
}

template <class S>
void TiledAttention<S>::adjoint(BlockView<const S> w, const Saved<S>& value, BatchView<const S> ybar,
                                Saved<S>& adjoint, BlockView<S> wbar, Batch<S>* xbar) const {
  const Pass pass = this->pass();
  const Index rows = value.input.rows();
  const bool want_QK = wbar.has(kQ) || wbar.has(kK) || xbar;
  Saved<S>& bar = pass.adjoints(ybar, xbar, adjoint);
  pass.resize_adjoints(ybar.count(), rows, want_QK, wbar.has(kV) || xbar, bar);
  pass.at.for_tiles(rows / pass.at.n, [&](const Place& p) {
    pass.weights(value, p);
    for (Index j = 0; j < ybar.count(); ++j) {
      pass.at.read_outputs(ybar, j, p, pass.memory.fbar, pass.memory.fbar_t);
      pass.back(value, p, j, bar, false);
    }
  });
  pass.project_adjoint(w, value, bar, wbar, xbar, &adjoint);
}

template <class S>
void TiledAttention<S>::tangent_of_adjoint(BlockView<const S> w, const Saved<S>& value,
                                           const Saved<S>& adjoint, Saved<S>& tangent, BlockView<const S> dw,
                                           BatchView<const S> dybar, BlockView<S> dwbar,
                                           Batch<S>* dxbar) const {
  pass().second_order(w, value, adjoint, tangent, dw, dybar, dwbar, dxbar, [](const Place&, Index) {});
}

template <class S>
void TiledAttention<S>::hessian(BlockView<const S> w, const Saved<S>& value, const Saved<S>& adjoint,
                                BatchView<const S> y, BatchView<const S> dx, BlockView<const S> dw,
                                const RowRule<S>& loss, Saved<S>& tangent, Batch<S>& dy, Batch<S>& dybar,
                                BlockView<S> dwbar, Batch<S>* dxbar) const {
  const Pass pass = this->pass();
  pass.project_tangent(w, value, dx, dw, tangent);
  dy.resize(dw.count(), value.input.rows(), this->output().width);
  dybar.resize(dw.count(), value.input.rows(), this->output().width);
  pass.second_order(w, value, adjoint, tangent, dw, dybar.view(), dwbar, dxbar, [&](const Place& p, Index j) {
    pass.write_outputs(pass.memory.drt, p, dy, j);
    const Index row = pass.at.first_row(p);
    loss.curvature(row, y.slice(0, row, p.rows), dy.slice(j, row, p.rows), dybar.slice(j, row, p.rows));
  });
}

template class TiledAttention<double>;
template class TiledAttention<float>;

}  // namespace basin
