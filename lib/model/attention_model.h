/// The model of the source paper: one attention layer under squared loss.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "basin/model/model_point.h"
#include "basin/network/attention_spec.h"

namespace basin {

/// F(X) = sum_h A(X W_Q[h], X W_K[h]) X W_V[h] W_O[h], f = |F - Y|^2 / 2 (paper, equation 1 and section 3).
/// Throws InputError for sizes below 1, a bandwidth that is negative or not finite, or a wrong `trainable`.
template <class S>
std::shared_ptr<const Model<S>> build_single_attention(
    const AttentionSpec& spec, const std::vector<std::string>& trainable = attention_blocks());

/// The layer, if the network is one attention layer under squared loss and no token is masked; nothing for
/// other points.
std::optional<AttentionSpec> single_attention(const ModelPoint<double>& point);

/// Whether it is such a point.
inline bool is_single_attention(const ModelPoint<double>& point) {
  return single_attention(point).has_value();
}

}  // namespace basin
