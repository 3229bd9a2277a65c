#include "ntk/certificate_input.h"

#include <algorithm>
#include <cmath>

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

}  // namespace basin
