#include "basin/model/loss.h"

#include <cmath>
#include <type_traits>
#include <vector>

#include "basin/linalg/errors.h"

namespace basin {
namespace {

std::vector<LossType>& losses() {
  static std::vector<LossType> all = {{"squared", [] { return std::make_unique<SquaredLoss<double>>(); },
                                       [] { return std::make_unique<SquaredLoss<float>>(); }}};
  return all;
}

}  // namespace

void add_loss(LossType type) {
  for (const LossType& known : losses())
    if (known.name == type.name) throw InputError("there is a loss '" + type.name + "' already");
  losses().push_back(std::move(type));
}

template <class S>
std::unique_ptr<const Loss<S>> make_loss(const std::string& name) {
  std::string names;
  for (const LossType& known : losses()) {
    names += (names.empty() ? "" : ", ") + known.name;
    if (known.name != name) continue;
    if constexpr (std::is_same_v<S, double>)
      return known.make();
    else
      return known.make_float();
  }
  throw InputError("unknown loss '" + name + "'; expected one of " + names);
}

double residual_norm(const LossFacts& facts, double value) {
  if (!facts.quadratic)
    throw InputError("the loss " + facts.formula + " does not say how large the residual is");
  return std::sqrt(2 * value);
}

template std::unique_ptr<const Loss<double>> make_loss(const std::string&);
template std::unique_ptr<const Loss<float>> make_loss(const std::string&);

}  // namespace basin
