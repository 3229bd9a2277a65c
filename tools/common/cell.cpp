#include "common/cell.h"

#include <limits>

#include "linalg/errors.h"
#include "model/linearization.h"
#include "model/twin.h"
#include "ntk/spectra.h"

namespace basin::tools {
namespace {

std::shared_ptr<const Model<double>> model_of(const Problem& problem, const CellOptions& options) {
  const AttentionWeights& weights = problem.network.weights.value();
  return make_attention_model<double>(problem.spec(problem.network, weights.heads, weights.head_dim),
                                      options.train);
}

void set(std::vector<Quantity>& quantities, const std::string& name, double value) {
  for (Quantity& quantity : quantities)
    if (quantity.name == name) {
      quantity.value = value;
      return;
    }
  throw std::logic_error("no quantity " + name);
}

}  // namespace

std::vector<Quantity> cell_quantities(const CellOptions&) {
  constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
  std::vector<Quantity> quantities = {{"loss", kNaN}, {"gradient_norm", kNaN}};
  std::vector<std::string> kernels = attention_blocks();
  kernels.emplace_back("sum");
  for (const std::string& kernel : kernels) {
    for (const char* name : {"lambda_min", "lambda_min_lower", "lambda_min_upper", "lambda_max", "rank"})
      quantities.push_back({kernel + "/" + name, kNaN});
    quantities.push_back({kernel + "/positive_definite", kNaN, true});
  }
  return quantities;
}

std::vector<Quantity> measure_cell(const Problem& problem, const CellOptions& options) {
  std::vector<Quantity> quantities = cell_quantities(options);
  const auto model = model_of(problem, options);
  const Vector<double>& weights = problem.network.weights->values;
  const auto data = std::make_shared<Data<double>>(problem.data);
  const Linearization<double> at(model, weights, data, {.memory = 0});
  set(quantities, "loss", at.loss());
  set(quantities, "gradient_norm", at.gradient().norm());

  Vectors<double> Jt = at.jacobian_transposed();
  Twin twin = make_twin(weights, *data);
  const std::vector<double> rounding = jacobian_rounding(
      Jt, Linearization<double>(model, std::move(twin.weights), std::move(twin.data), {.memory = 0}));
  for (const NtkSpectrum& s : ntk_spectra(Jt, model->parameters(), rounding)) {
    const Index last = s.size() - 1;
    set(quantities, s.name + "/lambda_min", s.lambda_min());
    set(quantities, s.name + "/lambda_min_lower", s.lower(last));
    set(quantities, s.name + "/lambda_min_upper", s.upper(last));
    set(quantities, s.name + "/lambda_max", s.lambda_max());
    set(quantities, s.name + "/rank", static_cast<double>(s.rank()));
    set(quantities, s.name + "/positive_definite", s.positive_definite() ? 1 : 0);
  }
  return quantities;
}

double cell_bytes(const Problem& problem, const CellOptions& options) {
  return ntk_bytes(model_of(problem, options)->parameters(), problem.data.Y.size(), problem.data.samples);
}

}  // namespace basin::tools
