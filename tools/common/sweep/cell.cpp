#include "common/sweep/cell.h"

#include <algorithm>
#include <stdexcept>

#include "basin/single_layer/attention_view.h"
#include "basin/single_layer/initial_kernels.h"

namespace basin::tools {
namespace {

// The conditions of single_layer/kernel_conditions.h that every cell has.
const std::vector<std::pair<std::string, std::vector<std::string>>> kConditions = {
    {"W_Q", {"parameters", "rank_limit", "copies", "rank_local", "rank_X"}},
    {"W_K", {"parameters", "rank_limit", "rank_local", "rank_X"}},
    {"W_V", {"parameters", "rank_limit", "rank_B", "rank_W_O"}},
    {"W_O", {"width", "rank_A"}},
    {"sum", {"distinct", "parameters", "rank_local", "rank_X"}}};

/// What conditions say, of a kernel or of its eigenvalues.
bool of_conditions(const std::string& what, const std::vector<std::string>& conditions) {
  return what.starts_with("proven") ||
         std::find(conditions.begin(), conditions.end(), what) != conditions.end();
}

void set_conditions(std::vector<Quantity>& quantities, const KernelAnalysis& kernel) {
  const std::string& name = kernel.minimum.name;
  const Below bound = kernel.conditions.lower_bound();
  set(quantities, name + "/proven_lower_bound", bound.value);
  if (bound.positive()) set(quantities, name + "/proven_lower_bound_log10", bound.log10);
  set(quantities, name + "/proven", bound.positive() ? 1 : 0);
  for (const auto& [of_kernel, names] : kConditions)
    for (const std::string& condition : names)
      for (const Condition& c : kernel.conditions.conditions)
        if (of_kernel == name && condition == c.name)
          set(quantities, name + "/" + condition, c.holds() ? 1 : 0);
}

}  // namespace

void set(std::vector<Quantity>& quantities, const std::string& name, double value) {
  for (Quantity& quantity : quantities)
    if (quantity.name == name) {
      quantity.value = value;
      return;
    }
  throw std::logic_error("no quantity " + name);
}

void set_kernel(std::vector<Quantity>& quantities, const std::string& name, const KernelMinimum& minimum) {
  set(quantities, name + "/lambda_min", minimum.lambda_min);
  set(quantities, name + "/lambda_min_lower", minimum.lower);
  set(quantities, name + "/lambda_min_upper", minimum.upper);
  set(quantities, name + "/lambda_max", minimum.lambda_max);
  set(quantities, name + "/rank", static_cast<double>(minimum.rank));
  const Definiteness verdict = minimum.definiteness();
  set(quantities, name + "/positive_definite", verdict == Definiteness::definite ? 1 : 0);
  set(quantities, name + "/in_theory_only", verdict == Definiteness::in_theory ? 1 : 0);
  set(quantities, name + "/singular", verdict == Definiteness::singular ? 1 : 0);
}

std::vector<Quantity> layer_quantities(const LayerMeasures& measures) {
  std::vector<Quantity> quantities;
  if (measures.certificate) quantities = {{"certificate/margin", kNaN}, {"certificate/passes", kNaN, true}};
  for (const auto& [kernel, conditions] : kConditions) {
    std::vector<Quantity> all;
    for (const char* what : {"lambda_min", "lambda_min_lower", "lambda_min_upper", "lambda_max", "rank",
                             "proven_lower_bound", "proven_lower_bound_log10"})
      all.push_back({what, kNaN});
    for (const char* what : {"positive_definite", "in_theory_only", "singular", "proven"})
      all.push_back({what, kNaN, true});
    for (const std::string& condition : conditions) all.push_back({condition, kNaN, true});
    for (Quantity& quantity : all)
      if (of_conditions(quantity.name, conditions) ? measures.conditions : measures.kernels) {
        quantity.name = kernel + "/" + quantity.name;
        quantities.push_back(quantity);
      }
  }
  return quantities;
}

void measure_layer(const ModelPoint<double>& point, const std::vector<std::string>& train,
                   const LayerMeasures& measures, std::vector<Quantity>& quantities) {
  const InitialisationMeasures measured = measure_initialisation(point, train);
  set(quantities, "loss", measured.loss);
  set(quantities, "gradient_norm", measured.gradient_norm);
  for (const KernelAnalysis& kernel : measured.kernels) {
    if (measures.kernels) set_kernel(quantities, kernel.minimum.name, kernel.minimum);
    if (measures.conditions) set_conditions(quantities, kernel);
  }
  if (!measures.certificate) return;
  set(quantities, "certificate/margin", measured.certificate.margin);
  set(quantities, "certificate/passes", measured.certificate.passes ? 1 : 0);
}

double layer_bytes(const ModelPoint<double>& point, const std::vector<std::string>& train) {
  return initialisation_bytes(AttentionView(point).spec(), point.data->samples, train);
}

}  // namespace basin::tools
