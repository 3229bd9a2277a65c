/// A model linearised at the twins of a point.
#pragma once

#include <vector>

#include "model/linearization.h"
#include "model/twin.h"

namespace basin {

/// At as many twins as it takes to measure the rounding of J, m x P (rounding_twins).
inline std::vector<Linearization<double>> linearize_twins(const std::shared_ptr<const Model<double>>& model,
                                                          const Vector<double>& weights,
                                                          const Data<double>& data) {
  std::vector<Linearization<double>> twins;
  const std::uint64_t count = rounding_twins(data.Y.size() * model->parameters().theta_size());
  for (std::uint64_t index = 0; index < count; ++index) {
    auto twin = make_twin(weights, data, index);
    twins.emplace_back(model, std::move(twin.weights), std::move(twin.data),
                       LinearizationOptions{.memory = 0});
  }
  return twins;
}

}  // namespace basin
