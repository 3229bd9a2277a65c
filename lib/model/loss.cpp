#include "basin/model/loss.h"

#include <algorithm>
#include <cmath>
#include <type_traits>

#include "basin/linalg/errors.h"
#include "basin/linalg/words.h"
#include "basin/model/cross_entropy.h"

namespace basin {
namespace {

template <template <class> class Made>
LossType typed(const std::string& name) {
  return {name, loss_options(name),
          [](const LossDescription& loss) { return std::make_unique<const Made<double>>(loss); },
          [](const LossDescription& loss) { return std::make_unique<const Made<float>>(loss); }};
}

std::vector<LossType>& losses() {
  static std::vector<LossType> all = {typed<SquaredLoss>("squared"), typed<CrossEntropy>("cross-entropy")};
  return all;
}

}  // namespace

Average average_from_name(const std::string& name, const std::vector<std::string>& known) {
  static const std::vector<std::string> kNames = {"sum", "rows", "samples", "elements"};
  if (std::find(known.begin(), known.end(), name) == known.end())
    throw InputError("loss.average: found " + shown(name) + meant(name, known));
  return static_cast<Average>(std::find(kNames.begin(), kNames.end(), name) - kNames.begin());
}

template <class S>
SquaredLoss<S>::SquaredLoss(const LossDescription& description) {
  const bool half = std::get<bool>(description.options.at("half"));
  const std::string average = std::get<std::string>(description.options.at("average"));
  const Average over = average_from_name(average, {"sum", "rows", "samples", "elements"});
  const bool sum = over == Average::sum;
  factor_ = half ? S(1) : S(2);
  root_ = std::sqrt(factor_);
  facts_ = {.name = "squared",
            .formula = (half ? "1/2 |F - Y|^2" : "|F - Y|^2") + (sum ? "" : ", mean over " + average),
            .average = over,
            .labels = false,
            .quadratic = half && sum,
            .convex = true,
            .infimum = 0,
            .attained = true};
}

void add_loss(LossType type) {
  add_loss_options(type.name, type.options);
  losses().push_back(std::move(type));
}

template <class S>
std::unique_ptr<const Loss<S>> make_loss(const LossDescription& description) {
  const LossDescription full = with_defaults(description);
  for (const LossType& known : losses()) {
    if (known.name != full.type) continue;
    if constexpr (std::is_same_v<S, double>)
      return known.make(full);
    else
      return known.make_float(full);
  }
  throw InputError("the loss '" + full.type + "' has options, but nothing makes it");
}

double residual_norm(const LossFacts& facts, double value) {
  if (!facts.quadratic)
    throw InputError("the loss " + facts.formula + " does not say how large the residual is");
  return std::sqrt(2 * value);
}

template class SquaredLoss<double>;
template class SquaredLoss<float>;
template std::unique_ptr<const Loss<double>> make_loss(const LossDescription&);
template std::unique_ptr<const Loss<float>> make_loss(const LossDescription&);

}  // namespace basin
