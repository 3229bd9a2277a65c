/// Where the numbers of attention stand: what rules save, working memory, tiles.
#pragma once

#include <algorithm>
#include <array>
#include <limits>
#include <span>
#include <utility>

#include "basin/linalg/simd.h"
#include "basin/network/layer.h"
#include "basin/network/tile_kernel.h"

namespace basin {

/// What the heads give: their sum, or all of them side by side.
enum class Heads { summed, concatenated };

namespace tiled {

// What the core is given, and what its rules save under the same numbers, for k vectors and B samples:
//   saved[kQ], [kK]   Q, K          B n rows, those of sample i next to each other
//   saved[kV]         V             likewise
//                                   narrow heads side by side in batch j, wide ones alone in batch j H + h
//                                   (j G + g of keys and values, which H / G heads in a row may share)
//
// `value` has these themselves, `tangent` their tangents, `bar` their adjoints. For each sample and head, one
// below the other, the core adds to the first two, in rows of row_step(n) numbers:
//   saved[kNorms]     norms          batch j, a row for queries and one for keys (kernels that have them)
// and to `value`:
//   saved[kStats]     max z, 1 / sum exp(z - max) over the keys, a row each (normalised kernels)
//   saved[kRt]        R^T = (A V)^T, e rows                                 (normalised kernels)
//
// With bilinear scores Z = X M X^T, there are no tangents and adjoints of K, none of Q either, but of
//   saved[kXM]        X M           n x D per sample and head, as Q and K
// and `value` has
//   saved[kX]         X, B n x D; not given: it is value.input
//
// Whoever calls the core may keep more under numbers from kCoreSaved on.
inline constexpr std::size_t kQ = 0, kK = 1, kV = 2, kNorms = 3, kStats = 4, kRt = 5, kXM = 6, kX = 7,
                             kCoreSaved = 8;
inline constexpr std::array<std::size_t, 3> kProjections = {kQ, kK, kV};

// Heads of fewer columns than this stand side by side: together they make wider matrix products. Others are
// read faster when their rows follow each other in memory.
inline constexpr Index kWideHead = 24;
// Queries of a tile, and keys of a block: measured, see PERFORMANCE.md. Fewer queries if the two arrays of a
// tile, for all heads and keys, would not fit into the second-level cache with the keys and values.
inline constexpr Index kQueries = 48, kKeys = 48, kTileNumbers = 49152;

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
};

template <class S>
Scratch<S>& scratch() {
  thread_local Scratch<S> memory;
  return memory;
}

/// A tile: `rows` tokens of a sample from `first`, as queries against the first `keys` of its keys. Keys that
/// are masked do not stand among them (`gather_keys`). The first `common` ones are seen by all queries of the
/// tile, the others by later ones alone.
struct Place {
  Index sample, first, rows, keys, common;
};

/// Where the numbers of a tile and a head stand.
template <class S>
struct Layout {
  Index n, H, d, e, outputs;  ///< tokens, heads, width of queries and keys, of values, and of the outputs
  Heads combine;
  Index G = H;            ///< heads of keys and values, each for H / G heads in a row
  bool causal = false;    ///< token t sees the tokens 0, ..., t alone
  Index slope_width = 0;  ///< D, with bilinear scores
  const bool bilinear = slope_width > 0;
  /// Queries of a tile: whole packs, unless one tile has them all.
  const Index tile_rows =
      std::min(n, std::clamp(kTileNumbers / (H * n) / kLanes<S> * kLanes<S>, kLanes<S>, kQueries));

  /// What the tangents and adjoints of scores go through.
  std::size_t moving_queries() const { return bilinear ? kXM : kQ; }

  Index width(std::size_t b) const { return b == kV ? e : b == kXM ? slope_width : d; }
  Index heads(std::size_t b) const { return b == kK || b == kV ? G : H; }
  /// Whether all heads stand side by side; the number of matrices, and of heads in each.
  bool together(std::size_t b) const { return width(b) < kWideHead; }
  Index groups(std::size_t b) const { return together(b) ? 1 : heads(b); }
  Index heads_together(std::size_t b) const { return together(b) ? heads(b) : 1; }
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
  /// Keys among the first `tokens` tokens of a sample.
  Index keys_of(const Saved<S>& value, Index sample, Index tokens) const {
    const auto mask = value.context.mask;
    if (mask.empty()) return tokens;
    Index count = 0;
    for (Index t = 0; t < tokens; ++t) count += is_key(mask, sample, t);
    return count;
  }
  bool is_key(std::span<const std::uint8_t> mask, Index sample, Index token) const {
    return mask.empty() || mask[static_cast<std::size_t>(sample * n + token)] != 0;
  }
  /// The tiles of all samples.
  template <class Body>
  void for_tiles(const Saved<S>& value, const Body& body) const {
    for (Index i = 0; i < value[kQ].rows() / n; ++i) {
      const Index all = keys_of(value, i, n);
      for (Index t = 0; t < n; t += tile_rows) {
        const Index rows = std::min(tile_rows, n - t);
        body(Place{i, t, rows, causal ? keys_of(value, i, t + rows) : all,
                   causal ? keys_of(value, i, t + 1) : all});
      }
    }
  }
  /// Whether a tile adds to adjoints of keys and values that were there, or sets them; heads in order, or
  /// backwards. Of causal tiles, which reach different keys, each adds.
  bool adds(const Place& p, Index h, bool backwards = false) const {
    return causal || p.first > 0 || (backwards ? (h + 1) % (H / G) != 0 : h % (H / G) != 0);
  }
  Index first_row(const Place& p) const { return p.sample * n + p.first; }

  /// What head h has of a projection in vector j: all samples; and the columns of a parameter block for it.
  template <class SavedType>
  auto head(SavedType& saved, std::size_t b, Index j, Index h) const {
    const Index own = h / (H / heads(b));
    return together(b) ? tile(saved[b][j]).middle_cols(own * width(b), width(b))
                       : tile(saved[b][j * heads(b) + own]).middle_cols(0, width(b));
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
  /// X, as keys are made of it.
  static Tile<const S> tokens(const Saved<S>& value) {
    return value[kX].empty() ? tile(value.input[0]) : tile(value[kX][0]);
  }
  /// What the derivatives of scores depend on at the point: the same, or X in place of keys.
  Scores<S> slopes(const Saved<S>& value, Batch<S>& qt, const Place& p, Index h) const {
    if (!bilinear) return scores(value, qt, 0, p, h);
    return {{}, {}, tokens(value).middle_rows(p.sample * n, n)};
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

  /// Calls body(first, count) for blocks of the keys of a tile.
  template <class Body>
  void for_keys(const Place& p, const Body& body) const {
    for (Index l = 0; l < p.keys; l += kKeys) body(l, std::min(kKeys, p.keys - l));
  }

  /// The same from the last block to the first.
  template <class Body>
  void for_keys_backwards(const Place& p, const Body& body) const {
    for (Index l = (p.keys - 1) / kKeys * kKeys; l >= 0 && p.keys > 0; l -= kKeys)
      body(l, std::min(kKeys, p.keys - l));
  }

  /// Scores of a block of keys that queries do not see are made those of no weight.
  void hide_later(const Saved<S>& value, const Place& p, Index first, Tile<S> z) const {
    if (first + z.rows <= p.common) return;
    Index seen = p.common;
    for (Index t = 0; t < p.rows; ++t) {
      if (t > 0) seen += is_key(value.context.mask, p.sample, p.first + t);
      for (Index l = std::max<Index>(seen - first, 0); l < z.rows; ++l)
        z.row(l)[t] = -std::numeric_limits<S>::infinity();
    }
  }

  /// Of the rows of each sample, moves those of keys to its beginning; and back again, with zeros in rows
  /// that are none.
  void gather_keys(const Saved<S>& value, Batch<S>& rows) const {
    for_samples(value, rows, [&](Index sample, auto matrix) {
      Index to = 0;
      for (Index t = 0; t < n; ++t)
        if (is_key(value.context.mask, sample, t)) {
          if (to < t) matrix.row(to) = matrix.row(t);
          ++to;
        }
    });
  }
  void scatter_keys(const Saved<S>& value, Batch<S>& rows) const {
    for_samples(value, rows, [&](Index sample, auto matrix) {
      Index from = keys_of(value, sample, n);
      for (Index t = n; t-- > 0;)
        if (!is_key(value.context.mask, sample, t))
          matrix.row(t).setZero();
        else if (--from < t)
          matrix.row(t) = matrix.row(from);
    });
  }
  template <class Body>
  void for_samples(const Saved<S>& value, Batch<S>& rows, const Body& body) const {
    if (value.context.mask.empty()) return;
    for (Index j = 0; j < rows.count(); ++j)
      for (Index i = 0; i < rows.rows() / n; ++i) body(i, rows.slice(j, i * n, n));
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

/// One call of a rule: the layout, the kernel and the memory.
template <class S>
struct Call {
  const Layout<S> at;
  const TileKernel<S>& kernel;
  Scratch<S>& memory = scratch<S>();
};

}  // namespace tiled
}  // namespace basin
