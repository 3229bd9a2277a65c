/// What one attention layer is as a function, head by head.
#pragma once

#include "basin/model/model_point.h"
#include "basin/stationary/point_signature.h"

namespace basin {

/// Outputs, and what each head carries from token to token: neither the gauges of theory nor the data tell
/// points apart that agree in these, up to the order of heads. Throws InputError for a network that is not a
/// single attention layer.
PointSignature attention_signature(const ModelPoint<double>& point);

}  // namespace basin
