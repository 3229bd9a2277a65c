/// What of single maps neither the data nor the readers see.
#pragma once

#include <string>
#include <vector>

#include "basin/curvature/visibility.h"
#include "basin/curvature/weight_tangents.h"

namespace basin {

/// A map x W + b, or a table that is looked up, of which the data or the readers do not see all: with V = [W;
/// b] the directions N C (any C) and C U^T.
struct SeenMap {
  std::string family;
  WeightSlice W, b;        ///< rows x O and 1 x O; what is not trained is left out of V
  Dense N, U;              ///< orthonormal: rows of V x count, O x count
  Index class_shifts = 0;  ///< how many of these the loss alone does not see

  Index rows() const { return (W.trained() ? W.rows : 0) + (b.trained() ? 1 : 0); }
  Index cols() const { return W.entry != nullptr ? W.cols : b.cols; }
  Index dimension() const { return N.cols() * cols() + (rows() - N.cols()) * U.cols(); }
  /// V of a vector over all weights, its part in these directions, and back.
  Dense read(const Vector<double>& weights) const;
  void add(const Dense& V, Vector<double>& weights) const;
  Dense unseen_part(const Dense& V) const;
};

/// What is not seen of each trained map, maybe nothing; each trained block is in one of them.
std::vector<SeenMap> seen_maps(const Visibility& seen);

}  // namespace basin
