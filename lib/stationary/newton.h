/// Newton's method in a trust region.
#pragma once

#include <cmath>
#include <limits>

#include "basin/stationary/descent.h"

namespace basin {

/// The minimiser of g^T p + p^T H p / 2 in |p| <= radius, approximately.
struct TrustRegionStep {
  Vector<double> p;
  double decrease = 0;  ///< that the quadratic model predicts
  bool at_boundary = false;
};

/// Conjugate gradients on exact Hessian products, stopped at |residual| <= tolerance, at the boundary, or by
/// negative curvature, which is followed to the boundary, or after `most` products (Steihaug, SIAM J. Numer.
/// Anal. 20, 1983; Nocedal and Wright, Numerical Optimization, 2006, algorithm 7.2). f must have been asked
/// for x last.
TrustRegionStep steihaug(Objective& f, const Iterate& x, double radius, double tolerance,
                         Index most = std::numeric_limits<Index>::max());

/// Trust-region Newton (Nocedal and Wright, algorithm 4.1), with the tolerance
/// min(1/2, sqrt(|g| / |g_0|)) |g|, g_0 the first gradient, that makes it converge superlinearly. Where the
/// loss has no digits left to judge a step, the gradient's norm does.
class TrustRegionNewton final : public DescentMethod {
 public:
  explicit TrustRegionNewton(double first_radius = HUGE_VAL, double reach = HUGE_VAL,
                             Index most_products = std::numeric_limits<Index>::max())
      : first_radius_(first_radius), reach_(reach), most_products_(most_products) {}

  Move advance(Objective& f, Iterate& x, DescentMemory& memory) const override;

 private:
  double first_radius_;  ///< infinite: the length of theta
  double reach_;         ///< the largest radius, relative to the length of theta
  Index most_products_;  ///< for one step
};

}  // namespace basin
