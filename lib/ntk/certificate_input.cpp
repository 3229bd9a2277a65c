#include "ntk/certificate_input.h"

#include <algorithm>
#include <cmath>

namespace basin {

CertificateInput certificate_input(const AttentionSpec& spec, const Vector<double>& weights,
                                   const Data<double>& data, const Linearization<double>& at,
                                   const std::vector<Linearization<double>>& twins,
                                   const KernelMinimum& sum) {
  constexpr double kUp = 1 + 1e-15, kDown = 1 - 1e-15;  // a root is off by half a unit in its last place
  double distance = 0;
  for (const Linearization<double>& twin : twins)
    distance = std::max(distance, (at.outputs() - twin.outputs()).stableNorm());
  const double F_error = 4 * distance + kUnderflowError;
  return {norm_constants(spec, at.parameters(), weights, data),
          std::sqrt(sum.lower) * kDown,
          std::sqrt(sum.largest_upper) * kUp,
          (at.outputs() - data.Y).stableNorm() * (1 + 1e-12) + F_error,
          at.outputs(),
          F_error};
}

}  // namespace basin
