/// Directions that are almost symmetries.
#pragma once

#include <string>
#include <vector>

#include "basin/curvature/symmetries.h"
#include "basin/model/linearization.h"

namespace basin {

/// A direction t that would be a symmetry if the epsilon of LayerNorm and RMSNorm were 0, as the scale of a
/// residual stream. J t is about epsilon / variance of what it might be: at a stationary point an eigenvalue
/// of H as small as its square. Elsewhere t^T H t also has what it would have as a symmetry, -g . (D t) t.
struct PseudoSymmetry {
  std::string name;         ///< "scale of the stream that embedding.E writes to"
  double gauss_newton = 0;  ///< t^T G t, t of length 1 and orthogonal to the symmetries
  double curvature = 0;     ///< t^T H t
};

/// Those of the network at this point, outside the span of its symmetries. None where activations are more
/// than 2^26 numbers or not finite. Takes a product with G and one with H for each.
std::vector<PseudoSymmetry> pseudo_symmetries(const Linearization<double>& at, const Symmetries& symmetries);

}  // namespace basin
