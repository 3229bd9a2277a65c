/// How far rounding alone moves loss, residual and gradient at a point.
#pragma once

#include "model/attention_model.h"

namespace basin {

/// Allowances: four times the largest distance from what twins give, as in model/twin.h but with every weight
/// moved by eps times the largest of its block: so much of a small one is lost beside it. A gradient within
/// its allowance is that of a stationary point whose weights and data differ from these by their rounding, as
/// far as can be told.
struct Rounding {
  double loss = 0;         ///< |f - f'|, and at least 16 eps f
  double residual = 0;     ///< |r - r'|, r = F - Y, and what underflows
  double gradient = 0;     ///< |g - g'|, and what underflows (curvature/underflow.h)
  Vector<double> entries;  ///< P, of each entry of g
};

/// loss, outputs and gradient are those at the weights; at least three twins, more where
/// numbers are few (rounding_twins), an evaluation of the gradient each.
Rounding rounding_at(const AttentionSpec& spec, const std::shared_ptr<const Model<double>>& model,
                     const Vector<double>& weights, const Data<double>& data, double loss,
                     const Matrix<double>& outputs, const Vector<double>& gradient);

}  // namespace basin
