/// A length for the weights of one attention layer.
#pragma once

#include "basin/model/model_point.h"

namespace basin {

/// A length for the trained blocks that does not depend on their values: that of weights with which scores
/// are of order one, and outputs of the size of the targets (stationary/MATHEMATICS.md, "Units"). Of the
/// others, fixed blocks count. Multiplied by what makes up for them when inputs, bandwidth, targets or fixed
/// blocks are multiplied. Throws InputError for a network that is not a single attention layer.
double attention_length(const ModelPoint<double>& point);

}  // namespace basin
