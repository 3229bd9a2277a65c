/// Losses on the outputs of a model.
#pragma once

#include "linalg/types.h"

namespace basin {

/// A loss that is a sum over the rows of the outputs F, given targets Y of the same shape (rows x D_out):
/// rows can be processed in chunks.
template <class S>
class Loss {
 public:
  using In = ConstMatrixRef<S>;
  using Out = MatrixRef<S>;

  virtual ~Loss() = default;
  virtual S value(In F, In Y) const = 0;
  /// Fbar = the gradient in F.
  virtual void gradient(In F, In Y, Out Fbar) const = 0;
  /// dFbar = the Hessian in F times dF. Positive semidefinite for a convex loss.
  virtual void hessian_product(In F, In Y, In dF, Out dFbar) const = 0;
};

/// l(F) = |F - Y|^2 / 2, gradient r = F - Y, Hessian the identity: then G = J^T J and K = J J^T.
template <class S>
class SquaredLoss final : public Loss<S> {
 public:
  using In = typename Loss<S>::In;
  using Out = typename Loss<S>::Out;

  S value(In F, In Y) const override { return (F - Y).squaredNorm() / 2; }
  void gradient(In F, In Y, Out Fbar) const override { Fbar = F - Y; }
  void hessian_product(In /*F*/, In /*Y*/, In dF, Out dFbar) const override { dFbar = dF; }
};

}  // namespace basin
