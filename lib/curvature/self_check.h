/// A test of second derivatives by symmetries: of any network, at any point, with its own weights and data.
#pragma once

#include <cstdint>

#include "basin/curvature/symmetry_families.h"
#include "basin/model/linearization.h"

namespace basin {

/// Along the tangent t(theta) of a symmetry the loss does not change, g . t = 0 at every theta; so that
///
///     H t = - (D t)^T g,     D t: the derivative of t in theta.
///
/// A wrong sign, a lost term or a wrong factor in one rule of a layer breaks it, stationary or not.
struct SelfCheck {
  Index tangents = 0;    ///< how many there are; a random combination is tested
  FamilyTable families;  ///< of which kind
  /// |g . t| / (|t| (|g| + |theta| |H v| / |v|)), v random: where g is 0, so is not what it is a sum of.
  double orthogonality = 0;
  /// |H t + (D t)^T g| / (|H t| + |(D t)^T g| + |t| |H v| / |v|).
  double identity = 0;
  /// Most of either that rounding explains.
  static constexpr double kTolerance = 1e-11;
  bool holds() const { return orthogonality <= kTolerance && identity <= kTolerance; }
};

/// One random combination of all tangents whose form at all weights is known (network_generators), each
/// generator of length 1. Two Hessian products.
SelfCheck self_check(const Linearization<double>& at, std::uint64_t seed);

}  // namespace basin
