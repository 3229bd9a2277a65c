/// Whether the gradient at a point is that of a stationary one, as far as rounding lets it be told.
#pragma once

#include <cstdint>

#include "basin/curvature/operators.h"
#include "basin/stationary/rounding.h"

namespace basin {

/// What tells whether the point is stationary.
struct Stationarity {
  double gradient = 0, gradient_error = 0;  ///< |grad f|, and what rounding does to the gradient
  double largest_gradient = 0;              ///< |J| |r|, about: no gradient is longer
  double residual = 0, residual_error = 0;  ///< |r|, r = dl/dF: F - Y for a quadratic loss
  double targets = 0;                       ///< their size: |Y| for a quadratic loss
  double theta = 0;                         ///< |theta|
  bool attainable = true;                   ///< whether outputs attain the infimum of the loss
  bool quadratic = true;
  double loss = 0, loss_error = 0;  ///< f, and what rounding does to it
};

/// Takes the evaluations of rounding_at and some products with `gauss_newton`, the operator at this point,
/// whose underflow is allowed for; where the loss is not quadratic, some with the NTK instead.
Stationarity stationarity_at(const Linearization<double>& at, const NetworkTheory& theory,
                             const SelfAdjointOperator& gauss_newton, std::uint64_t seed = 0);

}  // namespace basin
