/// Attention in tiles where one key has nearly all weight of a query. Part of network/attention_core.cpp.
#pragma once

#include "basin/network/attention_core_layout.h"
#include "basin/network/tile_weights.h"

namespace basin::tiled {

// A softmax weight above this is taken for 1 minus the others.
inline constexpr double kHeavy = 1 - 1.0 / 64;

/// The queries of a tile and head that give nearly all weight to one key, and that key; -1 for the others.
///
/// Softmax takes the mean over keys away, a_l (x_l - sum a x), and the sum of the results is zero. Where a_l
/// = 1 - e the difference is some e |x|, lost beside the rounding eps |x| of its terms. What such a key gets
/// is therefore computed as minus what the others get, all of which keep their digits.
struct Heaviest {
  bool any = false;
  std::array<Index, kQueries> key;
};

/// The parts of a tile, and its heaviest keys.
template <class S>
struct TileParts : Call<S> {
  using Call<S>::at;
  using Call<S>::kernel;
  using Call<S>::memory;

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
      for (Index l = 0; l < p.keys && largest[t] > S(kHeavy) && found.key[t] < 0; ++l)
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
    at.for_keys(p, [&](Index first, Index count) {
      const Tile<const S> V = keys(value, kV, 0, p, h, first, count).transpose();
      const Tile<const S> a = light(memory.a, memory.zbar, first, count, rest);
      sum_of_products<S>({{V, a}}, D, first > 0);
      if (!tangent) return;
      const Tile<const S> dV = keys(*tangent, kV, j, p, h, first, count).transpose();
      const Tile<const S> da =
          scores_move(*tangent) ? light(memory.da, memory.dzbar, first, count, drest) : Tile<S>{};
      sum_of_products<S>({{V, da}, {dV, a}}, dD, first > 0);
    });
    for_heaviest(heaviest, p, 0, p.keys, [&](Index l, Index t) {
      const Tile<const S> V = keys(value, kV, 0, p, h, l, 1);
      const Tile<const S> dV = tangent ? keys(*tangent, kV, j, p, h, l, 1) : Tile<const S>{};
      for (Index i = 0; i < at.e; ++i) {
        D.row(i)[t] -= rest[t] * V.row(0)[i];
        if (tangent) dD.row(i)[t] -= drest[t] * V.row(0)[i] + (dV.empty() ? S(0) : rest[t] * dV.row(0)[i]);
      }
    });
  }
};

}  // namespace basin::tiled
