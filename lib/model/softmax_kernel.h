/// The softmax attention kernel.
#pragma once

#include <cmath>

#include "model/attention_kernel.h"

namespace basin {

/// A = softmax_rows(Z),  Z = Q K^T / sqrt(d): the standard scaled dot-product attention (paper, section 2).
///
/// The largest score of each row is subtracted before the exponential, so that no score overflows.
template <class S>
class SoftmaxKernel final : public AttentionKernel<S> {
 public:
  using In = typename AttentionKernel<S>::In;
  using Out = typename AttentionKernel<S>::Out;

  explicit SoftmaxKernel(Index head_dim) : scale_(1 / std::sqrt(S(head_dim))) {}

  /// Z = Q K^T / sqrt(d)
  /// A = exp(Z - max) / sum exp(Z - max), row by row
  void value(In Q, In K, Out A) const override {
    using std::exp;
    A.noalias() = scale_ * Q * K.transpose();
    A.colwise() -= A.rowwise().maxCoeff().eval();
    A = A.unaryExpr([](const S& z) { return exp(z); });
    A.array().colwise() /= A.rowwise().sum().eval().array();
  }

  /// dZ = (dQ K^T + Q dK^T) / sqrt(d)
  /// dA = A o dZ - A o (A o dZ) 1 1^T
  void tangent(In Q, In K, In A, In dQ, In dK, Out dA) const override {
    dA.setZero();
    if (dQ.size() > 0) dA.noalias() += scale_ * dQ * K.transpose();
    if (dK.size() > 0) dA.noalias() += scale_ * Q * dK.transpose();
    dA.array() *= A.array();
    centre(A, dA);
  }

  /// Zbar = A o Abar - A o (A o Abar) 1 1^T
  /// Qbar = Zbar K / sqrt(d),   Kbar = Zbar^T Q / sqrt(d)
  void adjoint(In Q, In K, In A, In Abar, Out Qbar, Out Kbar) const override {
    Matrix<S> Zbar = A.cwiseProduct(Abar);
    centre(A, Zbar);
    Qbar.noalias() = scale_ * Zbar * K;
    Kbar.noalias() = scale_ * Zbar.transpose() * Q;
  }

  /// With rho = (A o Abar) 1, so that Zbar = A o (Abar - rho 1^T), and T = dA o (Abar - rho 1^T) + A o dAbar:
  /// dZbar = T - A o T 1 1^T    (since dA 1 = 0)
  /// dQbar = (dZbar K + Zbar dK) / sqrt(d),   dKbar = (dZbar^T Q + Zbar^T dQ) / sqrt(d)
  void tangent_of_adjoint(In Q, In K, In A, In Abar, In dQ, In dK, In dA, In dAbar, Out dQbar,
                          Out dKbar) const override {
    const Vector<S> rho = A.cwiseProduct(Abar).rowwise().sum();
    const Matrix<S> centred = Abar.colwise() - rho;
    const Matrix<S> Zbar = A.cwiseProduct(centred);
    Matrix<S> dZbar = A.cwiseProduct(dAbar);
    if (dA.size() > 0) dZbar += dA.cwiseProduct(centred);
    centre(A, dZbar);
    dQbar.noalias() = scale_ * dZbar * K;
    dKbar.noalias() = scale_ * dZbar.transpose() * Q;
    if (dK.size() > 0) dQbar.noalias() += scale_ * Zbar * dK;
    if (dQ.size() > 0) dKbar.noalias() += scale_ * Zbar.transpose() * dQ;
  }

 private:
  /// T <- T - A o (T 1 1^T): with T = A o dZ this is (diag(a) - a a^T) dz in each row, the softmax Jacobian.
  template <class T>
  static void centre(In A, T&& t) {
    const Vector<S> sums = t.rowwise().sum();
    t -= (A.array().colwise() * sums.array()).matrix();
  }

  S scale_;
};

}  // namespace basin
