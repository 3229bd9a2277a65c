/// Losses as tools have them.
#pragma once

#include "basin/single_layer/theory.h"
#include "basin/stationary/polish.h"

namespace basin::test {

/// The loss at a point, with all that is known of its network.
inline ModelLoss loss_of(const ModelPoint<double>& point) {
  return {point, theory_of(point)};
}

/// Rounding there, likewise.
inline Rounding rounding_at(const Linearization<double>& at) {
  return rounding_at(at, *theory_of(at.point()));
}

}  // namespace basin::test
