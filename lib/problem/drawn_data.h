/// Random data for a described network, where there are no others.
#pragma once

#include "basin/problem/initialisation.h"
#include "basin/problem/network_data.h"

namespace basin {

/// Inputs of `samples` samples: numbers and pixels N(0, scale^2), token ids uniform over the vocabulary.
void draw_inputs(NetworkData& data, Index samples, double scale, std::uint64_t seed);

/// Targets for the inputs that are there: the outputs of a network of the same architecture, the teacher,
/// with weights of its own; or, where targets are labels, the class of its largest output. Its weights are a
/// global minimum of a squared loss. Throws InputError as draw_weights, and WorkError where its outputs are
/// not finite.
void draw_targets(NetworkData& data, const Initialisation& teacher);

}  // namespace basin
