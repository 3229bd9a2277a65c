#include "basin/single_layer/initial_kernels.h"

#include <algorithm>

#include "basin/model/perturbation.h"

namespace basin {

InitialisationMeasures measure_initialisation(const ModelPoint<double>& point,
                                              std::vector<std::string> trained) {
  InitialisationMeasures measured;
  const Linearization<double> at(point, {.keep = false});
  measured.loss = at.loss();
  measured.gradient_norm = at.gradient().norm();

  std::vector<std::vector<std::string>> sets;
  for (const std::string& block : point.parameters().trained()) sets.push_back({block});
  sets.push_back(trained.empty() ? point.parameters().trained() : std::move(trained));
  const MeasuredFactors factors = measured_factors(point);
  const Minima found = kernel_minima(point, factors, sets);
  const InitialisationConditions conditions(factors);
  for (std::size_t k = 0; k < sets.size(); ++k) {
    const KernelConditions known = conditions.of(sets[k]);
    measured.kernels.push_back({with_conditions(found.minima[k], known), known});
  }
  measured.certificate =
      ball_certificate(certificate_input(at, linearize_perturbed(point), measured.sum().minimum));
  return measured;
}

double initialisation_bytes(const AttentionSpec& spec, Index samples,
                            const std::vector<std::string>& trained) {
  return std::max({formed_minima_bytes(spec, samples), conditions_bytes(spec, samples),
                   measured_factors_bytes(spec, samples) + jacobian_cost(spec, samples, trained, {}).bytes});
}

}  // namespace basin
