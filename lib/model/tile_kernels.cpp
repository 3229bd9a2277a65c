#include "model/tile_kernels.h"

#include <algorithm>

#include "linalg/simd.h"

namespace basin {
namespace {

/// Calls body(offset) for each pack of a row: a group of queries, down whose columns the sums run.
template <class S, class Body>
void for_lanes(Tile<const S> a, const Body& body) {
  for (Index p = 0; p < a.cols; p += kLanes<S>) body(p);
}

/// The sum of term(l) over the keys l, four of them at a time.
template <class S, class Term>
Pack<S> sum_over_keys(Index n, const Term& term) {
  Pack<S> sums[4] = {};
  Index l = 0;
  for (; l + 4 <= n; l += 4)
    for (Index i = 0; i < 4; ++i) sums[i] += term(l + i);
  for (; l < n; ++l) sums[0] += term(l);
  return (sums[0] + sums[1]) + (sums[2] + sums[3]);
}

/// The rows of a tile that belong to its queries: all but the lanes beyond r.
template <class S>
Tile<const S> queries(Tile<const S> a, Index r) {
  return a.middle_cols(0, r);
}

// The products that all kernels share: scores q k^T, transposed.

/// dZ = dQ K^T + Q dK^T
template <class S>
void scores_tangent(const Scores<S>& at, const Scores<S>& d, Tile<S> dz) {
  sum_of_products<S>({{at.k, d.qt}, {d.k, at.qt}}, dz);
}

/// Qbar = Zbar K,  Kbar += Zbar^T Q
template <class S>
void pull_scores(const Scores<S>& at, Tile<const S> zbar, Tile<S> qbar, Tile<S> kbar, bool add) {
  const Tile<const S> z = queries(zbar, at.q.rows);
  sum_of_products<S>({{z.transpose(), at.k}}, qbar);
  sum_of_products<S>({{z, at.q}}, kbar, add);
}

/// dQbar = dZbar K + Zbar dK,  dKbar += dZbar^T Q + Zbar^T dQ
template <class S>
void pull_scores_tangent(const Scores<S>& at, const Scores<S>& d, Tile<const S> zbar, Tile<const S> dzbar,
                         Tile<S> dqbar, Tile<S> dkbar, bool add) {
  const Tile<const S> z = queries(zbar, at.q.rows), dz = queries(dzbar, at.q.rows);
  sum_of_products<S>({{dz.transpose(), at.k}, {z.transpose(), d.k}}, dqbar);
  sum_of_products<S>({{dz, at.q}, {z, d.q}}, dkbar, add);
}

}  // namespace

// ---- softmax ----------------------------------------------------------------------------------------------

/// Z = Q K^T,  A = exp(Z - max) / sum exp(Z - max) for each query
template <class S>
void SoftmaxTiles<S>::value(const Scores<S>& at, Tile<S> a) const {
  sum_of_products<S>({{at.k, at.qt}}, a);
  for_lanes<S>(a, [&](Index p) {
    Pack<S> max = load(a.data + p);
    for (Index l = 1; l < a.rows; ++l) {
      const Pack<S> z = load(a.row(l) + p);
      max = z > max ? z : max;
    }
    const Pack<S> total = sum_over_keys<S>(a.rows, [&](Index l) {
      const Pack<S> e = exp_of_negative<S>(load(a.row(l) + p) - max);
      store<S>(a.row(l) + p, e);
      return e;
    });
    const Pack<S> scale = 1 / total;
    for (Index l = 0; l < a.rows; ++l) store<S>(a.row(l) + p, load(a.row(l) + p) * scale);
  });
}

/// dA = A o (dZ - (A o dZ) 1 1^T)
template <class S>
void SoftmaxTiles<S>::tangent(const Scores<S>& at, const Scores<S>& d, Tile<const S> a, Tile<S> da) const {
  scores_tangent(at, d, da);
  for_lanes<S>(a, [&](Index p) {
    const Pack<S> mean =
        sum_over_keys<S>(a.rows, [&](Index l) { return load(a.row(l) + p) * load(da.row(l) + p); });
    for (Index l = 0; l < a.rows; ++l)
      store<S>(da.row(l) + p, load(a.row(l) + p) * (load(da.row(l) + p) - mean));
  });
}

/// C = Abar - (A o Abar) 1 1^T,  Zbar = A o C
template <class S>
void SoftmaxTiles<S>::adjoint(Tile<const S> a, Tile<S> abar, Tile<S> zbar) const {
  for_lanes<S>(a, [&](Index p) {
    const Pack<S> mean =
        sum_over_keys<S>(a.rows, [&](Index l) { return load(a.row(l) + p) * load(abar.row(l) + p); });
    for (Index l = 0; l < a.rows; ++l) {
      const Pack<S> c = load(abar.row(l) + p) - mean;
      store<S>(abar.row(l) + p, c);
      store<S>(zbar.row(l) + p, load(a.row(l) + p) * c);
    }
  });
}

/// T = dA o C + A o dAbar,  dZbar = T - A o (T 1 1^T)    (since dA 1 = 0)
template <class S>
void SoftmaxTiles<S>::tangent_of_adjoint(Tile<const S> a, Tile<const S> c, Tile<const S> da,
                                         Tile<S> dabar) const {
  for_lanes<S>(a, [&](Index p) {
    const Pack<S> mean = sum_over_keys<S>(a.rows, [&](Index l) {
      Pack<S> t = load(a.row(l) + p) * load(dabar.row(l) + p);
      if (!da.empty()) t += load(da.row(l) + p) * load(c.row(l) + p);
      store<S>(dabar.row(l) + p, t);
      return t;
    });
    for (Index l = 0; l < a.rows; ++l)
      store<S>(dabar.row(l) + p, load(dabar.row(l) + p) - load(a.row(l) + p) * mean);
  });
}

template <class S>
void SoftmaxTiles<S>::pull(const Scores<S>& at, Tile<const S> zbar, Tile<S> qbar, Tile<S> kbar,
                          bool add) const {
  pull_scores(at, zbar, qbar, kbar, add);
}

template <class S>
void SoftmaxTiles<S>::pull_tangent(const Scores<S>& at, const Scores<S>& d, Tile<const S> zbar,
                                   Tile<const S> dzbar, Tile<S> dqbar, Tile<S> dkbar, bool add) const {
  pull_scores_tangent(at, d, zbar, dzbar, dqbar, dkbar, add);
}

// ---- Gaussian ---------------------------------------------------------------------------------------------

namespace {

/// Whether expanding the square would lose digits.
template <class S>
bool needs_differences(const Scores<S>& at) {
  bool fits = true;  // false for NaN as well
  for (Index t = 0; t < at.q.rows; ++t) fits &= at.q_norm[t] >= -GaussianTiles<S>::kLargestHalfNorm;
  for (Index l = 0; l < at.k.rows; ++l) fits &= at.k_norm[l] >= -GaussianTiles<S>::kLargestHalfNorm;
  return !fits;
}

/// out_tl = -<q_t - k_l, p_t - m_l>; an empty p or m is zero.
template <class S>
void difference_products(const Scores<S>& at, Tile<const S> pt, Tile<const S> m, Tile<S> out) {
  for_lanes<S>(out, [&](Index p) {
    for (Index l = 0; l < out.rows; ++l) {
      Pack<S> total{};
      for (Index i = 0; i < at.k.cols; ++i) {
        Pack<S> other{};
        if (!pt.empty()) other += load(pt.row(i) + p);
        if (!m.empty()) other -= m.row(l)[i];
        total -= (load(at.qt.row(i) + p) - at.k.row(l)[i]) * other;
      }
      store<S>(out.row(l) + p, total);
    }
  });
}

template <class S>
void set_zero(Tile<S> out) {
  for (Index i = 0; i < out.rows; ++i) std::fill_n(out.row(i), out.cols, S(0));
}

/// qbar_t -= sum_l zbar_tl (q_t - k_l),  kbar_l += sum_t zbar_tl (q_t - k_l); an empty q or k is zero.
template <class S>
void pull_differences(Tile<const S> q, Tile<const S> k, Tile<const S> zbar, Tile<S> qbar, Tile<S> kbar) {
  for (Index l = 0; l < kbar.rows; ++l)
    for (Index t = 0; t < qbar.rows; ++t)
      for (Index i = 0; i < qbar.cols; ++i) {
        const S delta = (q.empty() ? S(0) : q.row(t)[i]) - (k.empty() ? S(0) : k.row(l)[i]);
        qbar.row(t)[i] -= zbar.row(l)[t] * delta;
        kbar.row(l)[i] += zbar.row(l)[t] * delta;
      }
}

/// qbar_t -= (sum_l zbar_tl) q_t,  kbar_l -= (sum_t zbar_tl) k_l: the adjoint of the norms.
template <class S>
void pull_norms(Tile<const S> q, Tile<const S> k, Tile<const S> zbar, Tile<S> qbar, Tile<S> kbar) {
  if (!q.empty())
    for_lanes<S>(zbar, [&](Index p) {
      const Pack<S> total = sum_over_keys<S>(zbar.rows, [&](Index l) { return load(zbar.row(l) + p); });
      for (Index t = p; t < std::min(p + kLanes<S>, qbar.rows); ++t)
        for (Index i = 0; i < qbar.cols; ++i) qbar.row(t)[i] -= total[t - p] * q.row(t)[i];
    });
  if (k.empty()) return;
  for (Index l = 0; l < kbar.rows; ++l) {
    Pack<S> total{};
    for_lanes<S>(zbar, [&](Index p) { total += load(zbar.row(l) + p); });
    const S s = sum<S>(total);
    for (Index i = 0; i < kbar.cols; ++i) kbar.row(l)[i] -= s * k.row(l)[i];
  }
}

/// Subtracts the mean row of k from the rows of q and k.
template <class S>
void centre(Tile<S> q, Tile<S> k) {
  for (Index i = 0; i < k.cols; ++i) {
    S mean = 0;
    for (Index l = 0; l < k.rows; ++l) mean += k.row(l)[i];
    mean /= static_cast<S>(k.rows);
    for (Index l = 0; l < k.rows; ++l) q.row(l)[i] -= mean, k.row(l)[i] -= mean;
  }
}

}  // namespace

/// The norms are -|q|^2 / 2 and -|k|^2 / 2.
template <class S>
void GaussianTiles<S>::prepare(Tile<S> q, Tile<S> k, S* q_norm, S* k_norm) const {
  centre(q, k);
  prepare_tangent(q, k, q, k, q_norm, k_norm);
  for (Index t = 0; t < q.rows; ++t) q_norm[t] /= 2, k_norm[t] /= 2;
}

/// Their tangents, -<q, dq> and -<k, dk>.
template <class S>
void GaussianTiles<S>::prepare_tangent(Tile<const S> q, Tile<const S> k, Tile<S> dq, Tile<S> dk, S* dq_norm,
                                       S* dk_norm) const {
  const auto products = [](Tile<const S> x, Tile<const S> dx, S* norm) {
    if (dx.empty()) return;
    for (Index t = 0; t < x.rows; ++t) {
      S total = 0;
      for (Index i = 0; i < x.cols; ++i) total -= x.row(t)[i] * dx.row(t)[i];
      norm[t] = total;
    }
  };
  products(q, dq, dq_norm);
  products(k, dk, dk_norm);
}

/// E = -|q - k|^2 / 2,  A = exp(E)
template <class S>
void GaussianTiles<S>::value(const Scores<S>& at, Tile<S> a) const {
  const bool differences = needs_differences(at);
  if (differences)
    difference_products(at, at.qt, at.k, a);
  else
    sum_of_products<S>({{at.k, at.qt}}, a);
  for_lanes<S>(a, [&](Index p) {
    const Pack<S> q_norm = load(at.q_norm + p);
    for (Index l = 0; l < a.rows; ++l) {
      const Pack<S> e = load(a.row(l) + p), exponent = differences ? e / 2 : e + q_norm + at.k_norm[l];
      // rounding must not make A > 1
      store<S>(a.row(l) + p, exp_of_negative<S>(exponent > 0 ? Pack<S>{} : exponent));
    }
  });
}

/// dE = -<q - k, dq - dk>,  dA = A o dE
template <class S>
void GaussianTiles<S>::tangent(const Scores<S>& at, const Scores<S>& d, Tile<const S> a, Tile<S> da) const {
  const bool differences = needs_differences(at);
  if (differences)
    difference_products(at, d.qt, d.k, da);
  else
    scores_tangent(at, d, da);
  for_lanes<S>(a, [&](Index p) {
    const Pack<S> dq_norm = load(d.q_norm + p);
    for (Index l = 0; l < a.rows; ++l) {
      Pack<S> de = load(da.row(l) + p);
      if (!differences) de += dq_norm + d.k_norm[l];
      store<S>(da.row(l) + p, load(a.row(l) + p) * de);
    }
  });
}

/// C = Abar,  Ebar = A o Abar
template <class S>
void GaussianTiles<S>::adjoint(Tile<const S> a, Tile<S> abar, Tile<S> zbar) const {
  for_lanes<S>(a, [&](Index p) {
    for (Index l = 0; l < a.rows; ++l)
      store<S>(zbar.row(l) + p, load(a.row(l) + p) * load(abar.row(l) + p));
  });
}

/// dEbar = dA o Abar + A o dAbar
template <class S>
void GaussianTiles<S>::tangent_of_adjoint(Tile<const S> a, Tile<const S> c, Tile<const S> da,
                                          Tile<S> dabar) const {
  for_lanes<S>(a, [&](Index p) {
    for (Index l = 0; l < a.rows; ++l) {
      Pack<S> t = load(a.row(l) + p) * load(dabar.row(l) + p);
      if (!da.empty()) t += load(da.row(l) + p) * load(c.row(l) + p);
      store<S>(dabar.row(l) + p, t);
    }
  });
}

/// qbar_t = -sum_l Ebar_tl (q_t - k_l) = (Ebar K)_t - (Ebar 1)_t q_t,  kbar_l the other way round
template <class S>
void GaussianTiles<S>::pull(const Scores<S>& at, Tile<const S> zbar, Tile<S> qbar, Tile<S> kbar,
                          bool add) const {
  if (needs_differences(at)) {
    set_zero(qbar);
    if (!add) set_zero(kbar);
    pull_differences(at.q, at.k, zbar, qbar, kbar);
    return;
  }
  pull_scores(at, zbar, qbar, kbar, add);
  pull_norms(at.q, at.k, zbar, qbar, kbar);
}

/// The product rule on the line above.
template <class S>
void GaussianTiles<S>::pull_tangent(const Scores<S>& at, const Scores<S>& d, Tile<const S> zbar,
                                    Tile<const S> dzbar, Tile<S> dqbar, Tile<S> dkbar, bool add) const {
  if (needs_differences(at)) {
    set_zero(dqbar);
    if (!add) set_zero(dkbar);
    pull_differences(at.q, at.k, dzbar, dqbar, dkbar);
    pull_differences(d.q, d.k, zbar, dqbar, dkbar);
    return;
  }
  pull_scores_tangent(at, d, zbar, dzbar, dqbar, dkbar, add);
  pull_norms(at.q, at.k, dzbar, dqbar, dkbar);
  pull_norms(d.q, d.k, zbar, dqbar, dkbar);
}

template class SoftmaxTiles<double>;
template class SoftmaxTiles<float>;
template class GaussianTiles<double>;
template class GaussianTiles<float>;

}  // namespace basin
