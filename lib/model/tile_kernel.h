/// Attention kernels on tiles: some query rows of one sample and head against all of its keys.
#pragma once

#include "linalg/product.h"

namespace basin {

/// Queries and keys of one sample and head as a tile kernel sees them, or their tangents along one vector.
/// An empty tangent stands for zero.
template <class S>
struct Scores {
  Tile<const S> q;            ///< the queries of the tile, r x d
  Tile<const S> qt;           ///< their transpose, d x r' with r' = padded<S>(r): zero columns beyond r
  Tile<const S> k;            ///< all keys, n x d
  const S* q_norm = nullptr;  ///< what `prepare` left: for the queries of the tile, r' numbers, zero beyond r
  const S* k_norm = nullptr;  ///< and for the keys
};

/// The four rules of an attention kernel (model/attention_kernel.h) for scaled queries and keys. What is of
/// size r x n is in working memory of the caller, transposed: tiles a, da, ... have a row for each of the n
/// keys, and r' queries in a row, in whole packs. So the sums over keys run down the rows, one query in each
/// lane of a pack, and the products read keys and values in the order of memory. Lanes beyond r hold finite
/// numbers; abar and dabar must be zero there.
///
///     z = scores(q, k)      a = weights(z)
///
/// The scores are sums of products, which is where the time goes; the weights are elementwise in each query.
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

  /// a = weights(scores(q, k))
  virtual void value(const Scores<S>& at, Tile<S> a) const = 0;
  /// da = Da [dq, dk]
  virtual void tangent(const Scores<S>& at, const Scores<S>& d, Tile<const S> a, Tile<S> da) const = 0;
  /// zbar = Dweights^T abar; abar is replaced by c, with zbar = a o c.
  virtual void adjoint(Tile<const S> a, Tile<S> abar, Tile<S> zbar) const = 0;
  /// dzbar, which replaces dabar. An empty da stands for zero.
  virtual void tangent_of_adjoint(Tile<const S> a, Tile<const S> c, Tile<const S> da,
                                  Tile<S> dabar) const = 0;

  /// The adjoint of the scores:  qbar = ... for the queries of the tile,  kbar = ..., or += with `add`.
  virtual void pull(const Scores<S>& at, Tile<const S> zbar, Tile<S> qbar, Tile<S> kbar, bool add) const = 0;
  /// Its tangent.
  virtual void pull_tangent(const Scores<S>& at, const Scores<S>& d, Tile<const S> zbar, Tile<const S> dzbar,
                            Tile<S> dqbar, Tile<S> dkbar, bool add) const = 0;
};

}  // namespace basin
