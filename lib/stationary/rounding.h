/// How far rounding alone moves loss, residual and gradient at a point.
#pragma once

#include "basin/stationary/network_theory.h"

namespace basin {

/// Allowances: four times the largest distance at perturbed points, as in model/perturbation.h but with every
/// weight moved by eps times the largest of its block (of both of blocks whose products are subtracted from
/// each other): so much of a small one is lost beside it. A gradient
/// within its allowance is that of a stationary point whose weights and data differ from these by their
/// rounding, as far as can be told.
struct Rounding {
  double loss = 0;         ///< |f - f'|, and at least 16 eps f
  double residual = 0;     ///< |r - r'|, r = dl/dF, and what underflows
  double gradient = 0;     ///< |g - g'|, and what underflows (NetworkTheory::product_underflow)
  Vector<double> entries;  ///< P, of each entry of g
};

/// At least three perturbed points, more where numbers are few (perturbations), an evaluation of the gradient
/// each.
Rounding rounding_at(const Linearization<double>& at, const NetworkTheory& theory);

}  // namespace basin
