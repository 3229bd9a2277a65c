#include "basin/network/tile_kernels.h"

#include <algorithm>

#include "basin/network/exact_centring.h"
#include "basin/network/tile_weights.h"

namespace basin {
namespace {

// What both kernels share: the scalar products <q, k>, transposed.

/// dZ = dQ K^T + Q dK^T
template <class S>
void products_tangent(const Scores<S>& at, const Scores<S>& d, Tile<S> dz) {
  sum_of_products<S>({{at.k, d.qt}, {d.k, at.qt}}, dz);
}

/// Qbar = Zbar K,  Kbar = Zbar^T Q
template <class S>
void pull_products(const Scores<S>& at, Tile<const S> zbar, Tile<S> qbar, bool add_q, Tile<S> kbar,
                   bool add_k) {
  const Tile<const S> z = zbar.middle_cols(0, qbar.rows);
  sum_of_products<S>({{z.transpose(), at.k}}, qbar, add_q);
  if (!kbar.empty()) sum_of_products<S>({{z, at.q}}, kbar, add_k);
}

/// dQbar = dZbar K + Zbar dK,  dKbar = dZbar^T Q + Zbar^T dQ
template <class S>
void pull_products_tangent(const Scores<S>& at, const Scores<S>& d, Tile<const S> zbar, Tile<const S> dzbar,
                           Tile<S> dqbar, bool add_q, Tile<S> dkbar, bool add_k) {
  const Tile<const S> z = zbar.middle_cols(0, dqbar.rows), dz = dzbar.middle_cols(0, dqbar.rows);
  sum_of_products<S>({{dz.transpose(), at.k}, {z.transpose(), d.k}}, dqbar, add_q);
  if (!dkbar.empty()) sum_of_products<S>({{dz, at.q}, {z, d.q}}, dkbar, add_k);
}

}  // namespace

// ---- softmax: Z = Q K^T -----------------------------------------------------------------------------------

template <class S>
void SoftmaxTiles<S>::scores(const Scores<S>& at, Tile<S> z) const {
  sum_of_products<S>({{at.k, at.qt}}, z);
}

template <class S>
void SoftmaxTiles<S>::scores_tangent(const Scores<S>& at, const Scores<S>& d, Tile<S> dz) const {
  products_tangent(at, d, dz);
}

template <class S>
void SoftmaxTiles<S>::pull(const Scores<S>& at, Tile<const S> zbar, Tile<S> qbar, bool add_q, Tile<S> kbar,
                           bool add_k) const {
  pull_products(at, zbar, qbar, add_q, kbar, add_k);
}

template <class S>
void SoftmaxTiles<S>::pull_tangent(const Scores<S>& at, const Scores<S>& d, Tile<const S> zbar,
                                   Tile<const S> dzbar, Tile<S> dqbar, bool add_q, Tile<S> dkbar,
                                   bool add_k) const {
  pull_products_tangent(at, d, zbar, dzbar, dqbar, add_q, dkbar, add_k);
}

// ---- Gaussian: Z = -|q - k|^2 / 2 -------------------------------------------------------------------------

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
  for_lanes<S>(out.cols, [&](Index p) {
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
    for_lanes<S>(zbar.cols, [&](Index p) {
      Pack<S> total{};
      for (Index l = 0; l < zbar.rows; ++l) total += load(zbar.row(l) + p);
      for (Index t = p; t < std::min(p + kLanes<S>, qbar.rows); ++t)
        for (Index i = 0; i < qbar.cols; ++i) qbar.row(t)[i] -= total[t - p] * q.row(t)[i];
    });
  if (k.empty()) return;
  for (Index l = 0; l < kbar.rows; ++l) {
    Pack<S> total{};
    for_lanes<S>(zbar.cols, [&](Index p) { total += load(zbar.row(l) + p); });
    const S s = sum<S>(total);
    for (Index i = 0; i < kbar.cols; ++i) kbar.row(l)[i] -= s * k.row(l)[i];
  }
}

}  // namespace

/// The norms are -|q|^2 / 2 and -|k|^2 / 2.
template <class S>
void GaussianTiles<S>::prepare(Tile<S> q, Tile<S> k, S* q_norm, S* k_norm, bool shared) const {
  const auto set_norms = [&] {
    prepare_tangent(q, k, q, k, q_norm, k_norm);
    for (Index t = 0; t < q.rows; ++t) q_norm[t] /= 2;
    for (Index l = 0; l < k.rows; ++l) k_norm[l] /= 2;
  };
  set_norms();
  if (!shared && needs_differences<S>({q, {}, k, q_norm, k_norm}) && centre_exactly<S>({q, k})) set_norms();
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

template <class S>
void GaussianTiles<S>::scores(const Scores<S>& at, Tile<S> z) const {
  const bool differences = needs_differences(at);
  if (differences)
    difference_products(at, at.qt, at.k, z);
  else
    sum_of_products<S>({{at.k, at.qt}}, z);
  for_lanes<S>(z.cols, [&](Index p) {
    const Pack<S> q_norm = load(at.q_norm + p);
    for (Index l = 0; l < z.rows; ++l) {
      const Pack<S> product = load(z.row(l) + p);
      const Pack<S> score = differences ? product / 2 : product + q_norm + at.k_norm[l];
      store<S>(z.row(l) + p, score > 0 ? Pack<S>{} : score);  // rounding must not make A > 1
    }
  });
}

/// dZ = -<q - k, dq - dk>
template <class S>
void GaussianTiles<S>::scores_tangent(const Scores<S>& at, const Scores<S>& d, Tile<S> dz) const {
  if (needs_differences(at)) return difference_products(at, d.qt, d.k, dz);
  products_tangent(at, d, dz);
  for_lanes<S>(dz.cols, [&](Index p) {
    const Pack<S> dq_norm = load(d.q_norm + p);
    for (Index l = 0; l < dz.rows; ++l) store<S>(dz.row(l) + p, load(dz.row(l) + p) + dq_norm + d.k_norm[l]);
  });
}

/// qbar_t = -sum_l Zbar_tl (q_t - k_l) = (Zbar K)_t - (Zbar 1)_t q_t,  kbar_l the other way round
template <class S>
void GaussianTiles<S>::pull(const Scores<S>& at, Tile<const S> zbar, Tile<S> qbar, bool add_q, Tile<S> kbar,
                            bool add_k) const {
  if (needs_differences(at)) {
    if (!add_q) set_zero(qbar);
    if (!add_k) set_zero(kbar);
    return pull_differences(at.q, at.k, zbar, qbar, kbar);
  }
  pull_products(at, zbar, qbar, add_q, kbar, add_k);
  pull_norms(at.q, at.k, zbar, qbar, kbar);
}

/// The product rule on the line above.
template <class S>
void GaussianTiles<S>::pull_tangent(const Scores<S>& at, const Scores<S>& d, Tile<const S> zbar,
                                    Tile<const S> dzbar, Tile<S> dqbar, bool add_q, Tile<S> dkbar,
                                    bool add_k) const {
  if (needs_differences(at)) {
    if (!add_q) set_zero(dqbar);
    if (!add_k) set_zero(dkbar);
    pull_differences(at.q, at.k, dzbar, dqbar, dkbar);
    return pull_differences(d.q, d.k, zbar, dqbar, dkbar);
  }
  pull_products_tangent(at, d, zbar, dzbar, dqbar, add_q, dkbar, add_k);
  pull_norms(at.q, at.k, dzbar, dqbar, dkbar);
  pull_norms(d.q, d.k, zbar, dqbar, dkbar);
}

template class SoftmaxTiles<double>;
template class SoftmaxTiles<float>;
template class GaussianTiles<double>;
template class GaussianTiles<float>;

}  // namespace basin
