/// Directions in parameter space, and their normalisation.
#pragma once

#include <string>

#include "basin/linalg/random.h"
#include "basin/model/model_point.h"

namespace basin {

/// How a direction is scaled, so that steps along it mean the same at weights of any size:
///
///     none      as it is
///     filter    every filter to the norm of the weights' filter (Li et al., "Visualizing the Loss Landscape
///               of Neural Nets", NeurIPS 2018, section 4): a row of a slice of a block, one head and one
///               index along the first axis of its matrix, e.g. W_Q[h, i, :]
///     block     every block to the norm of the weights' block
///     vector    the whole to the norm of the trained weights
///     gauge     as filter, in the canonical gauge of the point (landscape/gauge.h): two points that are the
///               same up to a query-key or value-output gauge get the same slice
///
/// What is zero in the weights becomes zero.
enum class Normalisation { none, filter, block, vector, gauge };

/// Throws InputError, listing the names.
Normalisation normalisation_from_name(const std::string& name);
std::string normalisation_name(Normalisation kind);

/// Scales a direction (P) by the weights of the point. Of `gauge`, the direction is one at the canonical
/// gauge, as random numbers are, and is carried to the point.
/// Throws InputError where there is no canonical gauge, as for a network that is not a single attention
/// layer.
void normalise(const ModelPoint<double>& point, Normalisation kind, Vector<double>& direction);

/// Independent N(0, 1) entries, normalised. P. Throws InputError as `normalise`.
Vector<double> random_direction(const ModelPoint<double>& point, Normalisation kind, Random& random);

/// A random direction along which, and along all combinations with others of its kind, the loss is constant,
/// not only its derivative: W_Q M and -W_K M^T (softmax), W_V M and -M W_O, with M M' = 0 for all such M
/// (from the second half of the d dimensions to the first), so that (W_Q + a W_Q M)(W_K - a W_K M^T)^T = W_Q
/// W_K^T. Where there are none, features that the data do not have in W_Q, W_K and W_V, and those constant in
/// every sample in W_Q and W_K alike (Gaussian) or in W_K (softmax). P; zeros where there are none either.
/// (Rotations, of the Gaussian kernel, leave every line.) Throws InputError for a network that is not a
/// single attention layer.
Vector<double> flat_direction(const ModelPoint<double>& point, Random& random);

/// v minus its component along u. Throws InputError when u is zero, or when nothing but rounding is left: the
/// directions are parallel.
Vector<double> orthogonalised(const Vector<double>& v, const Vector<double>& u);

/// <u, v> / |u| |v|; 0 if one is zero.
double cosine(const Vector<double>& u, const Vector<double>& v);

}  // namespace basin
