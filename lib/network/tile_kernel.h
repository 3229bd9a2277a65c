/// Attention kernels on tiles: some queries of one sample and head against some of its keys.
#pragma once

#include "basin/linalg/product.h"

namespace basin {

/// Queries and keys of one sample and head as a tile kernel sees them, or their tangents along one vector.
/// An empty tangent stands for zero.
template <class S>
struct Scores {
  Tile<const S> q;            ///< the queries of the tile, r x d
  Tile<const S> qt;           ///< their transpose, d x r' with r' = padded<S>(r): zero columns beyond r
  Tile<const S> k;            ///< the keys, m x d
  const S* q_norm = nullptr;  ///< what `prepare` left: for the queries of the tile, r' numbers, zero beyond r
  const S* k_norm = nullptr;  ///< and for the keys

  Scores keys(Index first, Index count) const {
    return {q, qt, k.middle_rows(first, count), q_norm, k_norm ? k_norm + first : nullptr};
  }
};

/// A kernel is the exponential of scores, normalised over the keys of each query or not:
///
///     z = scores(q, k)      a = exp(z) / sum exp(z)   or   a = exp(z) with z <= 0
///
/// A kernel knows its scores: their value and derivative rules, given scaled queries and keys. Arrays over
/// queries and keys are transposed, in working memory of the caller: tiles z, dz, ... have a row for each
/// key, and r' queries in a row, in whole packs. So sums over keys run down the rows, one query in each lane
/// of a pack, and products read keys in the order of memory. Lanes beyond r hold finite numbers; they must be
/// zero in adjoints.
template <class S>
class TileKernel {
 public:
  virtual ~TileKernel() = default;

  virtual bool normalised() const = 0;
  /// Whether A stays the same when a vector is added to all keys.
  virtual bool ignores_shifts_of_keys() const = 0;

  /// Whether the kernel needs norms, and may change queries and keys before they are used.
  virtual bool has_norms() const = 0;
  /// For all rows of a sample and head, fills the norms (a number for each), and changes q and k in place to
  /// what the other rules want, unless k has queries of other heads too (`shared`). Only called when
  /// has_norms().
  virtual void prepare(Tile<S> q, Tile<S> k, S* q_norm, S* k_norm, bool shared) const = 0;
  virtual void prepare_tangent(Tile<const S> q, Tile<const S> k, Tile<S> dq, Tile<S> dk, S* dq_norm,
                               S* dk_norm) const = 0;

  virtual void scores(const Scores<S>& at, Tile<S> z) const = 0;
  virtual void scores_tangent(const Scores<S>& at, const Scores<S>& d, Tile<S> dz) const = 0;
  /// The adjoint of the scores: (qbar, kbar) = Dscores^T zbar, for the queries and keys of the tile; each is
  /// added to, or set.
  virtual void pull(const Scores<S>& at, Tile<const S> zbar, Tile<S> qbar, bool add_q, Tile<S> kbar,
                    bool add_k) const = 0;
  /// Its tangent.
  virtual void pull_tangent(const Scores<S>& at, const Scores<S>& d, Tile<const S> zbar, Tile<const S> dzbar,
                            Tile<S> dqbar, bool add_q, Tile<S> dkbar, bool add_k) const = 0;
};

}  // namespace basin
