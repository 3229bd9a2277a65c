#include "model/tile_kernels.h"

#include <cmath>
#include <limits>

#include "linalg/simd.h"

namespace basin {
namespace {

/// Calls body(l) for the packs of a row of `count` numbers, a multiple of kLanes.
template <class S, class Body>
void for_packs(Index count, const Body& body) {
  for (Index l = 0; l < count; l += kLanes<S>) body(l);
}

/// z = exp(z) for a row aligned to packs; 0 instead of results near the smallest normal number, where the
/// vectorised exponential stops following.
template <class S>
void exponentials(S* z, Index count) {
  constexpr S tiny = 4 * std::numeric_limits<S>::min();
  Eigen::Map<Eigen::Array<S, Eigen::Dynamic, 1>, kPackBytes> row(z, count);
  row = row.exp();
  for_packs<S>(count, [&](Index l) {
    const Pack<S> e = load(z + l);
    store<S>(z + l, e < tiny ? Pack<S>{} : e);
  });
}

/// Makes the weight of what is no key zero.
template <class S>
void exclude(S* z, Index tokens, Index count) {
  std::fill(z + tokens, z + count, -std::numeric_limits<S>::infinity());
}

template <class S>
S dot(const S* a, const S* b, Index count) {
  Pack<S> total{};
  for_packs<S>(count, [&](Index l) { total += load(a + l) * load(b + l); });
  return sum<S>(total);
}

}  // namespace

// ---- softmax ----------------------------------------------------------------------------------------------

/// Z = Q K^T,  A = exp(Z - max) / sum exp(Z - max), row by row
template <class S>
void SoftmaxTiles<S>::value(const Scores<S>& at, Index tokens, Tile<S> a) const {
  sum_of_products<S>({{at.q, at.kt}}, a);
  for (Index t = 0; t < a.rows; ++t) {
    S* z = a.row(t);
    exclude(z, tokens, a.cols);
    Pack<S> largest = load(z);
    for_packs<S>(a.cols, [&](Index l) {
      const Pack<S> p = load(z + l);
      largest = p > largest ? p : largest;
    });
    S max = largest[0];
    for (Index i = 1; i < kLanes<S>; ++i) max = std::max<S>(max, largest[i]);
    for_packs<S>(a.cols, [&](Index l) { store<S>(z + l, load(z + l) - max); });
    exponentials(z, a.cols);
    Pack<S> total{};
    for_packs<S>(a.cols, [&](Index l) { total += load(z + l); });
    const S scale = 1 / sum<S>(total);
    for_packs<S>(a.cols, [&](Index l) { store<S>(z + l, load(z + l) * scale); });
  }
}

/// dZ = dQ K^T + Q dK^T,  dA = A o (dZ - (A o dZ) 1 1^T)
template <class S>
void SoftmaxTiles<S>::tangent(const Scores<S>& at, const Scores<S>& d, Tile<const S> a, Tile<S> da) const {
  sum_of_products<S>({{d.q, at.kt}, {at.q, d.kt}}, da);
  for (Index t = 0; t < a.rows; ++t) {
    const S* weight = a.row(t);
    S* dz = da.row(t);
    const S mean = dot(weight, dz, a.cols);
    for_packs<S>(a.cols, [&](Index l) { store<S>(dz + l, load(weight + l) * (load(dz + l) - mean)); });
  }
}

/// C = Abar - (A o Abar) 1 1^T,  Zbar = A o C
template <class S>
void SoftmaxTiles<S>::adjoint(Tile<const S> a, Tile<S> abar, Tile<S> zbar) const {
  for (Index t = 0; t < a.rows; ++t) {
    const S* weight = a.row(t);
    S *c = abar.row(t), *z = zbar.row(t);
    const S mean = dot<S>(weight, c, a.cols);
    for_packs<S>(a.cols, [&](Index l) {
      const Pack<S> centred = load(c + l) - mean;
      store<S>(c + l, centred);
      store<S>(z + l, load(weight + l) * centred);
    });
  }
}

/// T = dA o C + A o dAbar,  dZbar = T - A o (T 1 1^T)    (since dA 1 = 0)
template <class S>
void SoftmaxTiles<S>::tangent_of_adjoint(Tile<const S> a, Tile<const S> c, Tile<const S> da,
                                         Tile<S> dabar) const {
  for (Index t = 0; t < a.rows; ++t) {
    const S *weight = a.row(t), *centred = c.row(t), *dweight = da.empty() ? nullptr : da.row(t);
    S* z = dabar.row(t);
    Pack<S> total{};
    for_packs<S>(a.cols, [&](Index l) {
      Pack<S> term = load(weight + l) * load(z + l);
      if (dweight) term += load(dweight + l) * load(centred + l);
      total += term;
      store<S>(z + l, term);
    });
    const S mean = sum<S>(total);
    for_packs<S>(a.cols, [&](Index l) { store<S>(z + l, load(z + l) - load(weight + l) * mean); });
  }
}

/// Qbar = Zbar K,  Kbar += Zbar^T Q
template <class S>
void SoftmaxTiles<S>::pull(const Scores<S>& at, Tile<const S> zbar, Tile<S> qbar, Tile<S> kbar) const {
  const Tile<const S> z = zbar.middle_cols(0, at.k.rows);
  sum_of_products<S>({{z, at.k}}, qbar);
  sum_of_products<S>({{z.transpose(), at.q}}, kbar, true);
}

/// dQbar = dZbar K + Zbar dK,  dKbar += dZbar^T Q + Zbar^T dQ
template <class S>
void SoftmaxTiles<S>::pull_tangent(const Scores<S>& at, const Scores<S>& d, Tile<const S> zbar,
                                   Tile<const S> dzbar, Tile<S> dqbar, Tile<S> dkbar) const {
  const Tile<const S> z = zbar.middle_cols(0, at.k.rows), dz = dzbar.middle_cols(0, at.k.rows);
  sum_of_products<S>({{dz, at.k}, {z, d.k}}, dqbar);
  sum_of_products<S>({{dz.transpose(), at.q}, {z.transpose(), d.q}}, dkbar, true);
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

/// out_tl = -<q_t - k_l, p_t - m_l> for the keys l, whose transposes are given.
template <class S>
void difference_products(Tile<const S> q, Tile<const S> kt, Tile<const S> p, Tile<const S> mt, Tile<S> out) {
  for (Index t = 0; t < out.rows; ++t)
    for_packs<S>(out.cols, [&](Index l) {
      Pack<S> total{};
      for (Index i = 0; i < kt.rows + 0; ++i) {
        const Pack<S> delta = q.row(t)[i] - load(kt.row(i) + l);
        Pack<S> other{};
        if (!p.empty()) other += p.row(t)[i];
        if (!mt.empty()) other -= load(mt.row(i) + l);
        total -= delta * other;
      }
      store<S>(out.row(t) + l, total);
    });
}

/// qbar_t -= sum_l zbar_tl (q_t - k_l),  kbar_l += sum_t zbar_tl (q_t - k_l); an empty q or k is zero.
template <class S>
void pull_differences(Tile<const S> q, Tile<const S> k, Tile<const S> zbar, Tile<S> qbar, Tile<S> kbar) {
  for (Index t = 0; t < qbar.rows; ++t)
    for (Index l = 0; l < kbar.rows; ++l)
      for (Index i = 0; i < qbar.cols; ++i) {
        const S delta = (q.empty() ? S(0) : q.row(t)[i]) - (k.empty() ? S(0) : k.row(l)[i]);
        qbar.row(t)[i] -= zbar.row(t)[l] * delta;
        kbar.row(l)[i] += zbar.row(t)[l] * delta;
      }
}

/// qbar_t -= (sum_l zbar_tl) q_t,  kbar_l -= (sum_t zbar_tl) k_l: the adjoint of the norms.
template <class S>
void pull_norms(Tile<const S> q, Tile<const S> k, Tile<const S> zbar, Tile<S> qbar, Tile<S> kbar) {
  for (Index t = 0; !q.empty() && t < qbar.rows; ++t) {
    Pack<S> total{};
    for_packs<S>(zbar.cols, [&](Index l) { total += load(zbar.row(t) + l); });
    const S s = sum<S>(total);
    for (Index i = 0; i < qbar.cols; ++i) qbar.row(t)[i] -= s * q.row(t)[i];
  }
  if (k.empty()) return;
  for (Index first = 0; first < kbar.rows; first += kLanes<S>) {
    Pack<S> total{};
    for (Index t = 0; t < zbar.rows; ++t) total += load(zbar.row(t) + first);
    for (Index l = first; l < std::min(first + kLanes<S>, kbar.rows); ++l)
      for (Index i = 0; i < kbar.cols; ++i) kbar.row(l)[i] -= total[l - first] * k.row(l)[i];
  }
}

/// Subtracts the mean row of k from the rows of q and k that are there.
template <class S>
void centre(Tile<S> q, Tile<S> k) {
  if (k.empty()) return;
  const Index n = k.rows;
  for (Index i = 0; i < k.cols; ++i) {
    S mean = 0;
    for (Index l = 0; l < n; ++l) mean += k.row(l)[i];
    mean /= static_cast<S>(n);
    for (Index l = 0; l < n; ++l) k.row(l)[i] -= mean;
    for (Index t = 0; !q.empty() && t < q.rows; ++t) q.row(t)[i] -= mean;
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
  for (Index t = 0; t < q.rows; ++t) {
    S products[2] = {0, 0};
    for (Index i = 0; i < q.cols; ++i) {
      if (!dq.empty()) products[0] -= q.row(t)[i] * dq.row(t)[i];
      if (!dk.empty()) products[1] -= k.row(t)[i] * dk.row(t)[i];
    }
    dq_norm[t] = products[0], dk_norm[t] = products[1];
  }
}

/// E = -|q - k|^2 / 2,  A = exp(E)
template <class S>
void GaussianTiles<S>::value(const Scores<S>& at, Index tokens, Tile<S> a) const {
  if (needs_differences(at)) {
    difference_products(at.q, at.kt, at.q, at.kt, a);
    for (Index t = 0; t < a.rows; ++t)
      for_packs<S>(a.cols, [&](Index l) { store<S>(a.row(t) + l, load(a.row(t) + l) / 2); });
  } else {
    sum_of_products<S>({{at.q, at.kt}}, a);
    for (Index t = 0; t < a.rows; ++t)
      for_packs<S>(a.cols, [&](Index l) {
        const Pack<S> exponent = load(a.row(t) + l) + load(at.k_norm + l) + at.q_norm[t];
        store<S>(a.row(t) + l, exponent > 0 ? Pack<S>{} : exponent);  // rounding must not make A > 1
      });
  }
  for (Index t = 0; t < a.rows; ++t) {
    exclude(a.row(t), tokens, a.cols);
    exponentials(a.row(t), a.cols);
  }
}

/// dE = -<q - k, dq - dk>,  dA = A o dE
template <class S>
void GaussianTiles<S>::tangent(const Scores<S>& at, const Scores<S>& d, Tile<const S> a, Tile<S> da) const {
  const bool differences = needs_differences(at);
  if (differences)
    difference_products(at.q, at.kt, d.q, d.kt, da);
  else
    sum_of_products<S>({{d.q, at.kt}, {at.q, d.kt}}, da);
  for (Index t = 0; t < a.rows; ++t) {
    const S* weight = a.row(t);
    S* dz = da.row(t);
    const S dq_norm = differences ? S(0) : d.q_norm[t];
    for_packs<S>(a.cols, [&](Index l) {
      Pack<S> de = load(dz + l) + dq_norm;
      if (!differences) de += load(d.k_norm + l);
      store<S>(dz + l, load(weight + l) * de);
    });
  }
}

/// C = Abar,  Ebar = A o Abar
template <class S>
void GaussianTiles<S>::adjoint(Tile<const S> a, Tile<S> abar, Tile<S> zbar) const {
  for (Index t = 0; t < a.rows; ++t)
    for_packs<S>(a.cols,
                 [&](Index l) { store<S>(zbar.row(t) + l, load(a.row(t) + l) * load(abar.row(t) + l)); });
}

/// dEbar = dA o Abar + A o dAbar
template <class S>
void GaussianTiles<S>::tangent_of_adjoint(Tile<const S> a, Tile<const S> c, Tile<const S> da,
                                          Tile<S> dabar) const {
  for (Index t = 0; t < a.rows; ++t)
    for_packs<S>(a.cols, [&](Index l) {
      Pack<S> term = load(a.row(t) + l) * load(dabar.row(t) + l);
      if (!da.empty()) term += load(da.row(t) + l) * load(c.row(t) + l);
      store<S>(dabar.row(t) + l, term);
    });
}

/// qbar_t = -sum_l Ebar_tl (q_t - k_l) = (Ebar K)_t - (Ebar 1)_t q_t,  kbar_l the other way round
template <class S>
void GaussianTiles<S>::pull(const Scores<S>& at, Tile<const S> zbar, Tile<S> qbar, Tile<S> kbar) const {
  if (needs_differences(at)) {
    for (Index t = 0; t < qbar.rows; ++t) std::fill_n(qbar.row(t), qbar.cols, S(0));
    pull_differences(at.q, at.k, zbar, qbar, kbar);
    return;
  }
  const Tile<const S> z = zbar.middle_cols(0, at.k.rows);
  sum_of_products<S>({{z, at.k}}, qbar);
  sum_of_products<S>({{z.transpose(), at.q}}, kbar, true);
  pull_norms(at.q, at.k, zbar, qbar, kbar);
}

/// The product rule on the line above.
template <class S>
void GaussianTiles<S>::pull_tangent(const Scores<S>& at, const Scores<S>& d, Tile<const S> zbar,
                                    Tile<const S> dzbar, Tile<S> dqbar, Tile<S> dkbar) const {
  if (needs_differences(at)) {
    for (Index t = 0; t < dqbar.rows; ++t) std::fill_n(dqbar.row(t), dqbar.cols, S(0));
    pull_differences(at.q, at.k, dzbar, dqbar, dkbar);
    pull_differences(d.q, d.k, zbar, dqbar, dkbar);
    return;
  }
  const Tile<const S> z = zbar.middle_cols(0, at.k.rows), dz = dzbar.middle_cols(0, at.k.rows);
  sum_of_products<S>({{dz, at.k}, {z, d.k}}, dqbar);
  sum_of_products<S>({{dz.transpose(), at.q}, {z.transpose(), d.q}}, dkbar, true);
  pull_norms(at.q, at.k, dzbar, dqbar, dkbar);
  pull_norms(d.q, d.k, zbar, dqbar, dkbar);
}

template class SoftmaxTiles<double>;
template class SoftmaxTiles<float>;
template class GaussianTiles<double>;
template class GaussianTiles<float>;

}  // namespace basin
