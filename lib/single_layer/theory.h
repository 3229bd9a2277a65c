/// What is known of one attention layer, for generic code.
#pragma once

#include <memory>

#include "basin/stationary/network_theory.h"

namespace basin {

/// For a network that is one attention layer under squared loss all that is known of it: its symmetries, the
/// bound on what underflows, the natural length of its weights, heads and their attention. For every other
/// network what holds of any. point: one of the network, at weights of a usual size (NetworkTheory).
std::shared_ptr<const NetworkTheory> theory_of(const ModelPoint<double>& point);

}  // namespace basin
