/// The elementwise part of attention on tiles: weights from scores, and the rules of softmax, query by query.
#pragma once

#include "basin/linalg/product.h"
#include "basin/linalg/simd.h"

namespace basin {

// Tiles have a row for each of some keys (m x r') and r' queries in a row, in whole packs; pointers have a
// number for each of the r' queries. Formulas and letters are those of MATHEMATICS.md, "The same in tiles".

/// Calls body(offset) for each pack of queries.
template <class S, class Body>
void for_lanes(Index queries, const Body& body) {
  for (Index p = 0; p < queries; p += kLanes<S>) body(p);
}

/// term(0) + ... + term(count - 1), in two sums: an addition need not wait for the one before it.
template <class S, class Term>
Pack<S> sum_of(Index count, const Term& term) {
  Pack<S> even{}, odd{};
  Index l = 0;
  for (; l + 1 < count; l += 2) even += term(l), odd += term(l + 1);
  if (l < count) even += term(l);
  return even + odd;
}

/// max = the largest z of all keys, or what it was if that is larger
template <class S>
void raise_to_largest(Tile<const S> z, S* max) {
  for_lanes<S>(z.cols, [&](Index p) {
    Pack<S> largest = load(max + p);
    for (Index l = 0; l < z.rows; ++l) {
      const Pack<S> score = load(z.row(l) + p);
      largest = score > largest ? score : largest;
    }
    store<S>(max + p, largest);
  });
}

/// a = exp(z - max) in place of z, for some of the keys; no max stands for 0.
template <class S>
void exponentials(Tile<S> z, const S* max) {
  for_lanes<S>(z.cols, [&](Index p) {
    const Pack<S> shift = max ? load(max + p) : Pack<S>{};
    for (Index l = 0; l < z.rows; ++l) store<S>(z.row(l) + p, exp_of_negative<S>(load(z.row(l) + p) - shift));
  });
}

/// sum += the sums of columns of a
template <class S>
void add_columns(Tile<const S> a, S* sum) {
  for_lanes<S>(a.cols, [&](Index p) {
    store<S>(sum + p, load(sum + p) + sum_of<S>(a.rows, [&](Index l) { return load(a.row(l) + p); }));
  });
}

/// a = a o factor, column by column
template <class S>
void scale_columns(Tile<S> a, const S* factor) {
  for_lanes<S>(a.cols, [&](Index p) {
    const Pack<S> by = load(factor + p);
    for (Index l = 0; l < a.rows; ++l) store<S>(a.row(l) + p, load(a.row(l) + p) * by);
  });
}

/// s += sum a o dz
template <class S>
void add_weighted(Tile<const S> a, Tile<const S> dz, S* s) {
  for_lanes<S>(a.cols, [&](Index p) {
    const auto term = [&](Index l) { return load(a.row(l) + p) * load(dz.row(l) + p); };
    store<S>(s + p, load(s + p) + sum_of<S>(a.rows, term));
  });
}

/// da = a o (dz - s) in place of dz
template <class S>
void centre_scores(Tile<const S> a, const S* s, Tile<S> dz) {
  for_lanes<S>(a.cols, [&](Index p) {
    const Pack<S> mean = load(s + p);
    for (Index l = 0; l < a.rows; ++l)
      store<S>(dz.row(l) + p, load(a.row(l) + p) * (load(dz.row(l) + p) - mean));
  });
}

/// zbar = a o (abar - mean) in place of abar
template <class S>
void centre_adjoint(Tile<const S> a, const S* mean, Tile<S> abar) {
  for_lanes<S>(a.cols, [&](Index p) {
    const Pack<S> m = load(mean + p);
    for (Index l = 0; l < a.rows; ++l)
      store<S>(abar.row(l) + p, load(a.row(l) + p) * (load(abar.row(l) + p) - m));
  });
}

/// c = abar - mean,  zbar = a o c in place of abar,  dzbar = da o c + a o (dabar - t) in place of dabar; an
/// empty da is zero.
template <class S>
void centre_tangent(Tile<const S> a, Tile<const S> da, const S* mean, const S* t, Tile<S> abar,
                    Tile<S> dabar) {
  for_lanes<S>(a.cols, [&](Index p) {
    const Pack<S> mean_p = load(mean + p), t_p = load(t + p);
    for (Index l = 0; l < a.rows; ++l) {
      const Pack<S> weight = load(a.row(l) + p), c = load(abar.row(l) + p) - mean_p;
      Pack<S> dz = weight * (load(dabar.row(l) + p) - t_p);
      if (!da.empty()) dz += load(da.row(l) + p) * c;
      store<S>(abar.row(l) + p, weight * c);
      store<S>(dabar.row(l) + p, dz);
    }
  });
}

/// out (+)= the scalar product of the columns of x and y
template <class S>
void column_products(Tile<const S> x, Tile<const S> y, S* out, bool add) {
  for_lanes<S>(x.cols, [&](Index p) {
    Pack<S> total = add ? load(out + p) : Pack<S>{};
    for (Index i = 0; i < x.rows; ++i) total += load(x.row(i) + p) * load(y.row(i) + p);
    store<S>(out + p, total);
  });
}

}  // namespace basin
