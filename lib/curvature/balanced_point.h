/// One point that stands for all that symmetries take it to.
#pragma once

#include <string>
#include <vector>

#include "basin/model/model_point.h"

namespace basin {

/// A point of the same orbit, with a smaller model: on the complement of the tangents of that, the Hessian
/// has the same eigenvalues wherever on the orbit one starts from, if nothing was kept.
struct BalancedPoint {
  ModelPoint<double> point;  ///< gains that are folded are frozen at 1 or -1
  double distance = 0;       ///< |theta - theta before|
  Index folded = 0;          ///< how many parameters are frozen: as many symmetries
  /// Families that have no such point and were left as they are, in words, each with its reason.
  std::vector<std::string> kept = {};
};

/// The balanced point (MATHEMATICS.md): gains and shifts of norms folded into what reads them, value biases
/// into output biases, nothing in what is not seen, and then the point of least norm along gauges, scales of
/// hidden units and of streams. It is the same function on the data; what is left of the group turns it and
/// keeps lengths. Where activations are more than 2^26 numbers or not finite, or rounding would change the
/// loss, the point as it is, and `kept` says why. modes: how many symmetries there are at the point, as far
/// as that is known: what is beyond the known families (known_symmetries) is kept.
BalancedPoint balanced_point(const ModelPoint<double>& point, Index modes);

}  // namespace basin
