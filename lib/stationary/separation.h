/// Losses of classes have no minimum where all rows are in their class: what is there instead
/// (MATHEMATICS.md, "Classes").
#pragma once

#include "basin/linalg/types.h"
#include "basin/model/linearization.h"

namespace basin {

/// How far every row is in its class, where that decides.
struct Separation {
  double margin = kNaN;  ///< smallest_margin; NaN where it decides nothing
  double error = kNaN;   ///< its rounding, as measured at perturbed points

  /// Then f falls strictly, to its infimum 0, as the trained last layer grows: there is no stationary point
  /// here.
  bool holds() const { return margin > error; }
};

/// For a loss like cross-entropy and a network that ends in a linear layer all of whose blocks are trained
/// and its own: df(t W, t b)/dt = sum_a r_a . z_a < 0 for all t >= 1 where all margins are positive, and f ->
/// 0.
Separation separation_at(const Linearization<double>& at);

}  // namespace basin
