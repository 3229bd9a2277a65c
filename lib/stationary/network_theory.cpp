#include "basin/stationary/network_theory.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "basin/curvature/constant_symmetries.h"
#include "basin/curvature/network_symmetries.h"
#include "basin/ntk/linear_certificate.h"
#include "basin/ntk/network_conditions.h"

namespace basin {

Symmetries NetworkTheory::symmetries(const ModelPoint<double>& point) const {
  if (std::optional<Symmetries> all = network_symmetries(point)) return std::move(*all);
  if (std::optional<Symmetries> large = known_symmetries(point)) return std::move(*large);
  std::vector<Symmetries::Named> known = constant_symmetries(point);
  const std::string others = known.empty() ? "those" : "others";
  return {point.theta_size(), std::move(known),
          others +
              " of this network: its activations are too many to look for them, or not finite, or its "
              "tangents too close to each other"};
}

std::optional<Index> NetworkTheory::generic_modes(const ModelPoint<double>& /*point*/) const {
  return std::nullopt;
}

double NetworkTheory::product_underflow(const Linearization<double>& at) const {
  const Data<double>& data = *at.point().data;
  double largest = 1;
  for (const double size : {data.X.stableNorm(), at.weights().stableNorm(), at.outputs_norm(),
                            data.Y.stableNorm(), at.gradient().stableNorm()})
    largest = std::max(largest, size);
  const double tokens = static_cast<double>(at.model().network().input().tokens),
               rows = static_cast<double>(at.samples()) * tokens,
               operations = 16 * rows * tokens * static_cast<double>(at.weights().size());
  return std::numeric_limits<double>::min() * operations * std::pow(largest, 10);
}

KernelMinimum NetworkTheory::trained_kernel(const Linearization<double>& at, double memory) const {
  return jacobian_kernel_minimum(at, memory);
}

double NetworkTheory::natural_length(const ModelPoint<double>& point) const {
  const double usual = point.parameters().extract(usual_weights_).stableNorm();
  if (usual > 0) return usual;
  double squares = 0;
  for (const ParameterLayout::Entry& e : point.parameters().entries())
    if (e.trainable()) squares += static_cast<double>(e.block.size()) / static_cast<double>(e.block.rows());
  return std::sqrt(squares);
}

bool NetworkTheory::is_linear(const ModelPoint<double>& point) const {
  return trains_last_layer_alone(*point.model);
}

PointSignature NetworkTheory::signature(const ModelPoint<double>& point) const {
  return output_signature(point);
}

Saturation NetworkTheory::saturation(const ModelPoint<double>& /*point*/) const {
  return Saturation::unknown();
}

std::vector<LayerSaturation> NetworkTheory::layer_saturation(const ModelPoint<double>& point) const {
  return basin::layer_saturation(point);
}

}  // namespace basin
