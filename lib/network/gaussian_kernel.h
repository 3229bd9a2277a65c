/// The Gaussian attention kernel.
#pragma once

#include <cmath>

#include "basin/network/attention_kernel.h"

namespace basin {

/// A_kl = exp(-|q_k - k_l|^2 / (2 sigma^2)), rows not normalised (paper, section 2, with sigma^2 = sqrt(d)).
///
/// Everything is computed from the differences Delta_kl = q_k - k_l themselves. Expanding the square into
/// scalar products would turn it into matrix products, but loses all digits of Delta where q_k is close to
/// k_l and both are long compared with sigma.
template <class S>
class GaussianKernel final : public AttentionKernel<S> {
 public:
  using In = typename AttentionKernel<S>::In;
  using Out = typename AttentionKernel<S>::Out;

  /// sigma > 0, in the units of the queries.
  explicit GaussianKernel(S sigma) : precision_(1 / (sigma * sigma)) {}

  /// A = exp(-<Delta, Delta> / (2 sigma^2))
  void value(In Q, In K, In sees, Out A) const override {
    using std::exp;
    for (Index k = 0; k < Q.rows(); ++k) {
      const Matrix<S> delta = differences(Q, K, k);
      A.row(k) = (-precision_ / 2) * delta.rowwise().squaredNorm();
    }
    A = A.unaryExpr([](const S& e) { return exp(e); });
    if (sees.size() > 0) A = A.cwiseProduct(sees);
  }

  /// dA = -A o <Delta, dDelta> / sigma^2
  void tangent(In Q, In K, In A, In dQ, In dK, Out dA) const override {
    for (Index k = 0; k < Q.rows(); ++k) {
      const Matrix<S> product = differences(Q, K, k).cwiseProduct(differences(dQ, dK, k));
      dA.row(k) = -precision_ * A.row(k).cwiseProduct(product.rowwise().sum().transpose());
    }
  }

  /// Ebar = A o Abar
  /// qbar_k = -sum_l Ebar_kl Delta_kl / sigma^2,   kbar_l = sum_k Ebar_kl Delta_kl / sigma^2
  void adjoint(In Q, In K, In A, In Abar, Out Qbar, Out Kbar) const override {
    const Matrix<S> Ebar = A.cwiseProduct(Abar);
    Qbar.setZero();
    Kbar.setZero();
    for (Index k = 0; k < Q.rows(); ++k) pull(Ebar.row(k), differences(Q, K, k), k, Qbar, Kbar);
  }

  /// dEbar = dA o Abar + A o dAbar
  /// dqbar_k = -sum_l (dEbar_kl Delta_kl + Ebar_kl dDelta_kl) / sigma^2,  dkbar_l the same sum over k, with a
  /// plus
  void tangent_of_adjoint(In Q, In K, In A, In Abar, In dQ, In dK, In dA, In dAbar, Out dQbar,
                          Out dKbar) const override {
    const Matrix<S> Ebar = A.cwiseProduct(Abar);
    Matrix<S> dEbar = A.cwiseProduct(dAbar);
    if (dA.size() > 0) dEbar += dA.cwiseProduct(Abar);
    dQbar.setZero();
    dKbar.setZero();
    for (Index k = 0; k < Q.rows(); ++k) {
      pull(dEbar.row(k), differences(Q, K, k), k, dQbar, dKbar);
      if (dA.size() > 0) pull(Ebar.row(k), differences(dQ, dK, k), k, dQbar, dKbar);
    }
  }

 private:
  /// Row l: q_k - k_l.  n x d. Either of Q and K may be empty (zero), not both.
  static Matrix<S> differences(In Q, In K, Index k) {
    if (K.size() == 0) return Q.row(k).replicate(Q.rows(), 1);
    Matrix<S> delta = -K;
    if (Q.size() > 0) delta.rowwise() += Q.row(k);
    return delta;
  }

  /// Adds the adjoint of E_kl = -<Delta_kl, Delta_kl> / (2 sigma^2), l = 1..n, for the adjoint row `ebar`.
  template <class Row>
  void pull(const Row& ebar, const Matrix<S>& delta, Index k, Out Qbar, Out Kbar) const {
    Qbar.row(k).noalias() -= precision_ * ebar * delta;
    Kbar += precision_ * (delta.array().colwise() * ebar.transpose().array()).matrix();
  }

  S precision_;  // 1 / sigma^2
};

}  // namespace basin
