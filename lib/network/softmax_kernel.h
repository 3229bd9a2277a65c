/// The softmax attention kernel.
#pragma once

#include <cmath>
#include <limits>

#include "basin/network/attention_kernel.h"

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
  /// A = exp(Z - max) / sum exp(Z - max), row by row; a row that sees nothing is zero
  void value(In Q, In K, In sees, Out A) const override {
    using std::exp;
    A.noalias() = scale_ * Q * K.transpose();
    if (sees.size() > 0)
      for (Index k = 0; k < A.rows(); ++k)
        for (Index l = 0; l < A.cols(); ++l)
          if (sees(k, l) == 0) A(k, l) = -std::numeric_limits<S>::infinity();
    A.colwise() -= A.rowwise().maxCoeff().eval();
    A = A.unaryExpr([](const S& z) { return exp(z); });
    A.array().colwise() /= A.rowwise().sum().eval().array();
    for (Index k = 0; k < A.rows() && sees.size() > 0; ++k)
      if (sees.row(k).sum() == 0) A.row(k).setZero();
  }

  /// dZ = (dQ K^T + Q dK^T) / sqrt(d)
  /// dA = A o (dZ - (A o dZ) 1 1^T)
  void tangent(In Q, In K, In A, In dQ, In dK, Out dA) const override {
    Matrix<S> dZ = Matrix<S>::Zero(A.rows(), A.cols());
    if (dQ.size() > 0) dZ.noalias() += scale_ * dQ * K.transpose();
    if (dK.size() > 0) dZ.noalias() += scale_ * Q * dK.transpose();
    dA = A.cwiseProduct(centred(A, dZ));
  }

  /// Zbar = A o (Abar - (A o Abar) 1 1^T)
  /// Qbar = Zbar K / sqrt(d),   Kbar = Zbar^T Q / sqrt(d)
  void adjoint(In Q, In K, In A, In Abar, Out Qbar, Out Kbar) const override {
    const Matrix<S> Zbar = A.cwiseProduct(centred(A, Abar));
    Qbar.noalias() = scale_ * Zbar * K;
    Kbar.noalias() = scale_ * Zbar.transpose() * Q;
  }

  /// With C = Abar - (A o Abar) 1 1^T, so that Zbar = A o C, and T = dA o C:
  /// dZbar = T - A o (T 1 1^T) + A o (dAbar - (A o dAbar) 1 1^T)    (since dA 1 = 0)
  /// dQbar = (dZbar K + Zbar dK) / sqrt(d),   dKbar = (dZbar^T Q + Zbar^T dQ) / sqrt(d)
  void tangent_of_adjoint(In Q, In K, In A, In Abar, In dQ, In dK, In dA, In dAbar, Out dQbar,
                          Out dKbar) const override {
    const Matrix<S> C = centred(A, Abar), Zbar = A.cwiseProduct(C);
    Matrix<S> dZbar = A.cwiseProduct(centred(A, dAbar));
    if (dA.size() > 0) {
      const Matrix<S> T = dA.cwiseProduct(C);
      const Vector<S> sums = T.rowwise().sum();
      dZbar += T - (A.array().colwise() * sums.array()).matrix();
    }
    dQbar.noalias() = scale_ * dZbar * K;
    dKbar.noalias() = scale_ * dZbar.transpose() * Q;
    if (dK.size() > 0) dQbar.noalias() += scale_ * Zbar * dK;
    if (dQ.size() > 0) dKbar.noalias() += scale_ * Zbar.transpose() * dQ;
  }

 private:
  /// T - (A o T) 1 1^T: A o of it is (diag(a) - a a^T) t in each row, the softmax Jacobian, which is
  /// symmetric. All of a row is taken relative to the entry of the largest weight first: where that is nearly
  /// 1 its entry is nearly the mean, and what is left of it keeps its digits.
  static Matrix<S> centred(In A, In T) {
    Matrix<S> U = T;
    for (Index k = 0; k < A.rows(); ++k) {
      Index heaviest = 0;
      A.row(k).maxCoeff(&heaviest);
      U.row(k).array() -= T(k, heaviest);
    }
    const Vector<S> means = A.cwiseProduct(U).rowwise().sum();
    return U.colwise() - means;
  }

  S scale_;
};

}  // namespace basin
