#include "common/sweep/cell.h"

#include <memory>
#include <stdexcept>

#include "basin/single_layer/initial_kernels.h"

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

// The conditions of single_layer/kernel_conditions.h that every cell has.
const std::vector<std::pair<std::string, std::vector<std::string>>> kConditions = {
    {"W_Q", {"parameters", "rank_limit", "copies", "rank_local", "rank_X"}},
    {"W_K", {"parameters", "rank_limit", "rank_local", "rank_X"}},
    {"W_V", {"parameters", "rank_limit", "rank_B", "rank_W_O"}},
    {"W_O", {"width", "rank_A"}},
    {"sum", {"distinct", "parameters", "rank_local", "rank_X"}}};

void set_kernel(std::vector<Quantity>& quantities, const KernelAnalysis& kernel) {
  const KernelMinimum& minimum = kernel.minimum;
  const std::string& name = minimum.name;
  set(quantities, name + "/lambda_min", minimum.lambda_min);
  set(quantities, name + "/lambda_min_lower", minimum.lower);
  set(quantities, name + "/lambda_min_upper", minimum.upper);
  set(quantities, name + "/lambda_max", minimum.lambda_max);
  set(quantities, name + "/rank", static_cast<double>(minimum.rank));
  const Below bound = kernel.conditions.lower_bound();
  set(quantities, name + "/proven_lower_bound", bound.value);
  if (bound.positive()) set(quantities, name + "/proven_lower_bound_log10", bound.log10);
  const Definiteness verdict = minimum.definiteness();
  set(quantities, name + "/positive_definite", verdict == Definiteness::definite ? 1 : 0);
  set(quantities, name + "/in_theory_only", verdict == Definiteness::in_theory ? 1 : 0);
  set(quantities, name + "/singular", verdict == Definiteness::singular ? 1 : 0);
  set(quantities, name + "/proven", bound.positive() ? 1 : 0);
  for (const auto& [of_kernel, names] : kConditions)
    for (const std::string& condition : names)
      for (const Condition& c : kernel.conditions.conditions)
        if (of_kernel == name && condition == c.name)
          set(quantities, name + "/" + condition, c.holds() ? 1 : 0);
}

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
  const AttentionWeights& weights = problem.network.weights.value();
  const AttentionSpec spec = problem.spec(problem.network, weights.heads, weights.head_dim);
  const InitialisationMeasures measured =
      measure_initialisation({build_single_attention<double>(spec, options.train), weights.values,
                              std::make_shared<Data<double>>(problem.data)},
                             options.train);
  std::vector<Quantity> quantities = cell_quantities(options);
  set(quantities, "loss", measured.loss);
  set(quantities, "gradient_norm", measured.gradient_norm);
  for (const KernelAnalysis& kernel : measured.kernels) set_kernel(quantities, kernel);
  set(quantities, "certificate/margin", measured.certificate.margin);
  set(quantities, "certificate/passes", measured.certificate.passes ? 1 : 0);
  return quantities;
}

double cell_bytes(const Problem& problem, const CellOptions& options) {
  const AttentionWeights& weights = problem.network.weights.value();
  const AttentionSpec spec = problem.spec(problem.network, weights.heads, weights.head_dim);
  return initialisation_bytes(spec, problem.data.samples, options.train);
}

}  // namespace basin::tools
