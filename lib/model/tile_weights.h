/// The elementwise part of attention on tiles: weights from scores, and the rules of softmax, query by query.
#pragma once

#include "linalg/product.h"
#include "linalg/simd.h"

namespace basin {

// Tiles have a row for each of some keys (m x r') and r' queries in a row, in whole packs; pointers have a
// number for each of the r' queries. Formulas and letters are those of MATHEMATICS.md, "The same in tiles".

/// Calls body(offset) for each pack of queries.
template <class S, class Body>
void for_lanes(Index queries, const Body& body) {
  for (Index p = 0; p < queries; p += kLanes<S>) body(p);
}

/// max and scale = 1 / sum exp(z - max) over all keys, and a = exp(z - max) scale in place of z
template <class S>
void normalise(Tile<S> z, S* max, S* scale) {
  for_lanes<S>(z.cols, [&](Index p) {
    Pack<S> largest = load(z.data + p), total{};
    for (Index l = 1; l < z.rows; ++l) {
      const Pack<S> score = load(z.row(l) + p);
      largest = score > largest ? score : largest;
    }
    for (Index l = 0; l < z.rows; ++l) {
      const Pack<S> e = exp_of_negative<S>(load(z.row(l) + p) - largest);
      total += e;
      store<S>(z.row(l) + p, e);
    }
    const Pack<S> factor = 1 / total;
    for (Index l = 0; l < z.rows; ++l) store<S>(z.row(l) + p, load(z.row(l) + p) * factor);
    store<S>(max + p, largest);
    store<S>(scale + p, factor);
  });
}

/// a = exp(z - max) scale in place of z again, to the bit, for some of the keys; without max, a = exp(z).
template <class S>
void exponentials(Tile<S> z, const S* max, const S* scale) {
  for_lanes<S>(z.cols, [&](Index p) {
    const Pack<S> shift = max ? load(max + p) : Pack<S>{}, factor = max ? load(scale + p) : Pack<S>{} + 1;
    for (Index l = 0; l < z.rows; ++l)
      store<S>(z.row(l) + p, exp_of_negative<S>(load(z.row(l) + p) - shift) * factor);
  });
}

/// s += sum a o dz
template <class S>
void add_weighted(Tile<const S> a, Tile<const S> dz, S* s) {
  for_lanes<S>(a.cols, [&](Index p) {
    Pack<S> sums[2] = {load(s + p), Pack<S>{}};
    for (Index l = 0; l < a.rows; ++l) sums[l % 2] += load(a.row(l) + p) * load(dz.row(l) + p);
    store<S>(s + p, sums[0] + sums[1]);
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
