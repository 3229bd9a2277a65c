/// What is measured of one attention layer at its initial weights (single_layer/initial_kernels.h), by the
/// names that files have.
#pragma once

#include <string>
#include <vector>

#include "basin/model/model_point.h"
#include "common/sweep/quantity.h"

namespace basin::tools {

/// Which of them.
struct LayerMeasures {
  bool kernels = true, conditions = true, certificate = true;
  bool any() const { return kernels || conditions || certificate; }
};

/// The quantities of every draw, in order, all NaN. Names and order depend on nothing that a sweep varies,
/// the trainable blocks included.
std::vector<Quantity> layer_quantities(const LayerMeasures& measures);

/// Measures loss, gradient and these quantities, which are among `quantities`, at the point. train: its
/// trained blocks, in the order in which their kernels are added. Throws InputError for another network,
/// WorkError when a number is not finite.
void measure_layer(const ModelPoint<double>& point, const std::vector<std::string>& train,
                   const LayerMeasures& measures, std::vector<Quantity>& quantities);

/// Bytes that takes at the peak. Throws InputError for another network.
double layer_bytes(const ModelPoint<double>& point, const std::vector<std::string>& train);

}  // namespace basin::tools
