/// Directions along which the loss of one attention layer is constant.
#pragma once

#include "basin/linalg/random.h"
#include "basin/model/model_point.h"

namespace basin {

/// A random direction along which, and along all combinations with others of its kind, the loss is constant,
/// not only its derivative: W_Q M and -W_K M^T (softmax), W_V M and -M W_O, with M M' = 0 for all such M
/// (from the second half of the d dimensions to the first), so that (W_Q + a W_Q M)(W_K - a W_K M^T)^T = W_Q
/// W_K^T. Where there are none, features that the data do not have in W_Q, W_K and W_V, and those constant in
/// every sample in W_Q and W_K alike (Gaussian) or in W_K (softmax). P; zeros where there are none either.
/// (Rotations, of the Gaussian kernel, leave every line.) Throws InputError for a network that is not a
/// single attention layer.
Vector<double> flat_direction(const ModelPoint<double>& point, Random& random);

}  // namespace basin
