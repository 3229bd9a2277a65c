/// Attention kernels on tiles: some query rows of one sample and head against all of its keys.
#pragma once

#include "linalg/product.h"

namespace basin {

/// Queries and keys of one sample and head as a tile kernel sees them, or their tangents along one vector.
/// An empty tangent stands for zero.
template <class S>
struct Scores {
  Tile<const S> q;           ///< the query rows of the tile, r x d
  Tile<const S> k;           ///< all keys, n x d
  Tile<const S> kt;          ///< their transpose, d x n' with n' = padded<S>(n): zero columns beyond n
  const S* q_norm = nullptr;  ///< for the rows of q: what `prepare` left there
  const S* k_norm = nullptr;  ///< for the keys, n' numbers, zero beyond n

  bool moves() const { return !q.empty() || !k.empty(); }
};

/// The four rules of an attention kernel (model/attention_kernel.h), for scaled queries and keys, with
/// everything of size r x n in working memory of the caller: tiles a, da, ... have r rows of n' numbers,
/// aligned to packs. Columns beyond n are zero in a, da and zbar, and finite elsewhere.
///
///     z = scores(q, k)      a = weights(z)
///
/// The scores are sums of products, which is where the time goes; the weights are elementwise in each row.
template <class S>
class TileKernel {
 public:
  virtual ~TileKernel() = default;

  /// Whether the kernel needs the norms, and may change queries and keys before they are used.
  virtual bool has_norms() const = 0;
  /// For all rows of a sample and head, changes q and k in place to what the other rules want, and fills the
  /// norms (n numbers each). Only called when has_norms().
  virtual void prepare(Tile<S> q, Tile<S> k, S* q_norm, S* k_norm) const = 0;
  virtual void prepare_tangent(Tile<const S> q, Tile<const S> k, Tile<S> dq, Tile<S> dk, S* dq_norm,
                               S* dk_norm) const = 0;

  /// a = weights(scores(q, k)); `tokens` = n.
  virtual void value(const Scores<S>& at, Index tokens, Tile<S> a) const = 0;
  /// da = Da [dq, dk]
  virtual void tangent(const Scores<S>& at, const Scores<S>& d, Tile<const S> a, Tile<S> da) const = 0;
  /// zbar = Dweights^T abar; abar is replaced by c, with zbar = a o c.
  virtual void adjoint(Tile<const S> a, Tile<S> abar, Tile<S> zbar) const = 0;
  /// dzbar, which replaces dabar. An empty da stands for zero.
  virtual void tangent_of_adjoint(Tile<const S> a, Tile<const S> c, Tile<const S> da,
                                  Tile<S> dabar) const = 0;

  /// The adjoint of the scores:  qbar = ..., kbar += ... for the rows of the tile.
  virtual void pull(const Scores<S>& at, Tile<const S> zbar, Tile<S> qbar, Tile<S> kbar) const = 0;
  /// Its tangent:  dqbar = ..., dkbar += ...
  virtual void pull_tangent(const Scores<S>& at, const Scores<S>& d, Tile<const S> zbar, Tile<const S> dzbar,
                            Tile<S> dqbar, Tile<S> dkbar) const = 0;
};

}  // namespace basin
