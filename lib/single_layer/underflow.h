/// What results below the range of double precision may take from the products of one attention layer.
#pragma once

#include "basin/model/model_point.h"

namespace basin {

/// A bound on |computed - true| for the products of H and of G with a unit vector of theta, and for loss and
/// gradient, as far as underflow causes it: attention weights, products and sums of less than 2^-1022 may be
/// lost altogether, and are multiplied by what comes after them. (Softmax or Gaussian weights that are all
/// lost leave a Hessian of zeros, of which nothing but this is known.) It is far from sharp, and far below
/// anything that is not lost. Throws InputError for a network that is not a single attention layer.
double attention_underflow(const ModelPoint<double>& point);

}  // namespace basin
