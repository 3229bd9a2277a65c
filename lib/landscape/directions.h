/// Directions in parameter space, and their normalisation.
#pragma once

#include "linalg/random.h"
#include "model/parameters.h"

namespace basin {

/// Filter normalisation (Li et al., "Visualizing the Loss Landscape of Neural Nets", NeurIPS 2018, section
/// 4): every filter of the direction is scaled to the norm of the same filter of the weights. A filter is a
/// row of a slice of a block: one head and one index along the first axis of its matrix, e.g. W_Q[h, i, :].
/// direction: P, over the trainable blocks. weights: all blocks. A filter of zeros stays zero.
void normalise_filters(const ParameterLayout& parameters, const Vector<double>& weights,
                       Vector<double>& direction);

/// Independent N(0, 1) entries, then filter normalisation. P.
Vector<double> random_filter_direction(const ParameterLayout& parameters, const Vector<double>& weights,
                                       Random& random);

}  // namespace basin
