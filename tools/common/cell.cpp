#include "common/cell.h"

#include <algorithm>
#include <limits>

#include "linalg/errors.h"
#include "model/linearization.h"
#include "model/perturbation.h"
#include "ntk/certificate_input.h"
#include "ntk/conditions.h"
#include "ntk/minimum.h"

namespace basin::tools {
namespace {

void set(std::vector<Quantity>& quantities, const std::string& name, double value) {
  for (Quantity& quantity : quantities)
    if (quantity.name == name) {
      quantity.value = value;
      return;
    }
  throw std::logic_error("no quantity " + name);
}

// The conditions of ntk/conditions.h that every cell has.
const std::vector<std::pair<std::string, std::vector<std::string>>> kConditions = {
    {"W_Q", {"parameters", "rank_limit", "copies", "rank_local", "rank_X"}},
    {"W_K", {"parameters", "rank_limit", "rank_local", "rank_X"}},
    {"W_V", {"parameters", "rank_limit", "rank_B", "rank_W_O"}},
    {"W_O", {"width", "rank_A"}},
    {"sum", {"distinct", "parameters", "rank_local", "rank_X"}}};

}  // namespace

std::vector<Quantity> cell_quantities(const CellOptions&) {
  std::vector<Quantity> quantities = {{"loss", kNaN},
                                      {"gradient_norm", kNaN},
                                      {"certificate/margin", kNaN},
                                      {"certificate/passes", kNaN, true}};
  for (const auto& [kernel, conditions] : kConditions) {
    for (const char* name :
         {"lambda_min", "lambda_min_lower", "lambda_min_upper", "lambda_max", "rank", "proven_lower_bound"})
      quantities.push_back({kernel + "/" + name, kNaN});
    quantities.push_back({kernel + "/proven_lower_bound_log10", kNaN});
    for (const char* name : {"positive_definite", "in_theory_only", "singular", "proven"})
      quantities.push_back({kernel + "/" + name, kNaN, true});
    for (const std::string& condition : conditions)
      quantities.push_back({kernel + "/" + condition, kNaN, true});
  }
  return quantities;
}

std::vector<Quantity> measure_cell(const Problem& problem, const CellOptions& options) {
  std::vector<Quantity> quantities = cell_quantities(options);
  const AttentionWeights& weights = problem.network.weights.value();
  const AttentionSpec spec = problem.spec(problem.network, weights.heads, weights.head_dim);
  const ModelPoint<double> point = {build_single_attention<double>(spec, options.train), weights.values,
                                    std::make_shared<Data<double>>(problem.data)};
  const Linearization<double> at(point, {.memory = 0});
  set(quantities, "loss", at.loss());
  set(quantities, "gradient_norm", at.gradient().norm());

  std::vector<std::vector<std::string>> sets;
  for (const std::string& block : point.parameters().trained()) sets.push_back({block});
  sets.push_back(options.train);
  const MeasuredFactors factors = measured_factors(point);
  const Minima found = kernel_minima(point, factors, sets);
  const InitialisationConditions conditions(factors);
  KernelMinimum sum;
  for (std::size_t k = 0; k < sets.size(); ++k) {
    const KernelConditions known = conditions.of(sets[k]);
    const KernelMinimum minimum = with_conditions(found.minima[k], known);
    if (k + 1 == sets.size()) sum = minimum;
    const std::string& name = minimum.name;
    set(quantities, name + "/lambda_min", minimum.lambda_min);
    set(quantities, name + "/lambda_min_lower", minimum.lower);
    set(quantities, name + "/lambda_min_upper", minimum.upper);
    set(quantities, name + "/lambda_max", minimum.lambda_max);
    set(quantities, name + "/rank", static_cast<double>(minimum.rank));
    const Below bound = known.lower_bound();
    set(quantities, name + "/proven_lower_bound", bound.value);
    if (bound.positive()) set(quantities, name + "/proven_lower_bound_log10", bound.log10);
    const Definiteness verdict = minimum.definiteness();
    set(quantities, name + "/positive_definite", verdict == Definiteness::definite ? 1 : 0);
    set(quantities, name + "/in_theory_only", verdict == Definiteness::in_theory ? 1 : 0);
    set(quantities, name + "/singular", verdict == Definiteness::singular ? 1 : 0);
    set(quantities, name + "/proven", bound.positive() ? 1 : 0);
    for (const auto& [kernel, names] : kConditions)
      for (const std::string& condition : names)
        for (const Condition& c : known.conditions)
          if (kernel == name && condition == c.name)
            set(quantities, name + "/" + condition, c.holds() ? 1 : 0);
  }
  const CertificateInput input = certificate_input(at, linearize_perturbed(point), sum);
  const Certificate certificate = ball_certificate(input.norms, input.s0, input.S0, input.r0);
  set(quantities, "certificate/margin", certificate.margin);
  set(quantities, "certificate/passes", certificate.passes ? 1 : 0);
  return quantities;
}

double cell_bytes(const Problem& problem, const CellOptions& options) {
  const AttentionWeights& weights = problem.network.weights.value();
  const AttentionSpec spec = problem.spec(problem.network, weights.heads, weights.head_dim);
  const Index N = problem.data.samples;
  return std::max({formed_minima_bytes(spec, N), conditions_bytes(spec, N),
                   measured_factors_bytes(spec, N) + jacobian_cost(spec, N, options.train, {}).bytes});
}

}  // namespace basin::tools
