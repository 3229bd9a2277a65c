/// How many zero modes symmetry gives, by formula.
#pragma once

#include "basin/model/model_point.h"
#include "basin/single_layer/data_features.h"

namespace basin {

/// The number of zero modes of the Hessian at a stationary point with f > 0, generic weights and rich data
/// (MATHEMATICS.md, "Symmetries"): N n D_out large, and either N so large that scores determine the products
/// W_Q W_K^T as far as the data see them, or inputs of full row rank (D >= N n), where every sample has a
/// gauge of its own. Of the point, sizes and trained blocks count; features: those of its data. Throws
/// InputError for a network that is not a single attention layer.
Index symmetry_count(const ModelPoint<double>& point, const DataFeatures& features);

}  // namespace basin
