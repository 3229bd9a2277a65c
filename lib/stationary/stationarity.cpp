#include "basin/stationary/stationarity.h"

#include <cmath>

#include "basin/spectrum/assembled_matrix.h"

namespace basin {

Stationarity stationarity_at(const Linearization<double>& at, const NetworkTheory& theory,
                             const SelfAdjointOperator& gauss_newton, std::uint64_t seed) {
  const Rounding rounding = rounding_at(at, theory);
  Stationarity s;
  s.gradient = at.gradient().stableNorm();
  s.gradient_error = rounding.gradient + gauss_newton.underflow();
  s.residual = at.residual_norm();
  s.residual_error = rounding.residual;
  const double J_square = at.loss_facts().quadratic ? norm_estimate(gauss_newton, seed)  // J^T J
                                                    : norm_estimate(GramOperator(at), seed);
  s.largest_gradient = std::sqrt(J_square) * s.residual;
  s.targets = at.point().target_size();
  s.theta = at.point().theta().stableNorm();
  s.attainable = at.loss_facts().attained;
  s.quadratic = at.loss_facts().quadratic;
  s.loss = at.loss();
  s.loss_error = rounding.loss + gauss_newton.underflow();
  return s;
}

}  // namespace basin
