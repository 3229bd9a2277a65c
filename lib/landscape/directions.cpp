#include "landscape/directions.h"

namespace basin {

void normalise_filters(const ParameterLayout& parameters, const Vector<double>& weights,
                       Vector<double>& direction) {
  for (const auto& e : parameters.entries()) {
    if (!e.trainable()) continue;
    const Index length = e.block.cols();
    for (Index i = 0; i < e.block.size(); i += length) {
      auto filter = direction.segment(e.theta_offset + i, length);
      const double norm = filter.norm();
      if (norm > 0) filter *= weights.segment(e.offset + i, length).norm() / norm;
    }
  }
}

Vector<double> random_filter_direction(const ParameterLayout& parameters, const Vector<double>& weights,
                                       Random& random) {
  Vector<double> direction(parameters.theta_size());
  random.fill_normal(direction);
  normalise_filters(parameters, weights, direction);
  return direction;
}

}  // namespace basin
