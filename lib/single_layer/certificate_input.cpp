#include "basin/single_layer/certificate_input.h"

#include <algorithm>
#include <cmath>

#include "basin/model/perturbation.h"

namespace basin {

CertificateInput certificate_input(const Linearization<double>& at,
                                   const std::vector<Linearization<double>>& perturbed,
                                   const KernelMinimum& sum) {
  constexpr double kUp = 1 + 1e-15, kDown = 1 - 1e-15;  // a root is off by half a unit in its last place
  double distance = 0;
  for (const Linearization<double>& there : perturbed)
    distance = std::max(distance, (at.outputs() - there.outputs()).stableNorm());
  const double F_error = 4 * distance + kUnderflowError;
  return {norm_constants(at.point()),
          std::sqrt(sum.lower) * kDown,
          std::sqrt(sum.largest_upper) * kUp,
          (at.outputs() - at.point().data->Y).stableNorm() * (1 + 1e-12) + F_error,
          at.outputs(),
          F_error};
}

CertificateInput certificate_input(const ModelPoint<double>& point, const KernelMinimum& sum) {
  return certificate_input(point.linearize({.keep = false}), linearize_perturbed(point), sum);
}

Certificate ball_certificate(const CertificateInput& input, double c) {
  return ball_certificate(input.norms, input.s0, input.S0, input.r0, c);
}

Certificate certificate_at(const ModelPoint<double>& point, const CertificateOptions& options) {
  const MeasuredFactors factors = measured_factors(point);
  const std::vector<std::string> trained = point.parameters().trained();
  KernelMinimum sum = kernel_minima(point, factors, {trained}, options.minima).minima.back();
  if (options.conditions) sum = with_conditions(sum, InitialisationConditions(factors).of(trained));
  return ball_certificate(certificate_input(point, sum));
}

}  // namespace basin
