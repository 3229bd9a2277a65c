/// How many zero modes symmetry gives, by formula.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "model/attention_model.h"

namespace basin {

/// The number of zero modes of the Hessian at a stationary point with f > 0, generic weights and rich data
/// (MATHEMATICS.md, "Symmetries"): N n D_out large, and either N so large that scores determine the products
/// W_Q W_K^T as far as the data see them, or inputs of full row rank (D >= N n), where every sample has a
/// gauge of its own. rank, rank_centred: r_X and r~ (curvature/data_features.h).
Index symmetry_count(const AttentionSpec& spec, const std::vector<std::string>& trained, Index samples,
                     Index rank, Index rank_centred);

}  // namespace basin
