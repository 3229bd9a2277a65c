/// Limited-memory BFGS.
#pragma once

#include <cmath>

#include "basin/stationary/descent.h"

namespace basin {

/// The two-loop recursion (Nocedal and Wright, Numerical Optimization, 2006, algorithms 7.4 and 7.5) with a
/// line search for the weak Wolfe conditions by bisection (Lewis and Overton, Math. Program. 141, 2013,
/// algorithm 2.6), which keep every pair's s^T y positive. Where the loss has no digits left, the approximate
/// Wolfe conditions (Hager and Zhang, SIAM J. Optim. 16, 2005, section 4) take over: they ask the slopes, so
/// that the gradient still falls to rounding.
///
/// Our own, as a library such as libLBFGS runs from start to end: it hands out iterates, but neither its
/// pairs nor a way to start from them, and a run that is killed could not go on to the same bits.
class Lbfgs final : public DescentMethod {
 public:
  explicit Lbfgs(Index pairs = 10, double first = HUGE_VAL) : pairs_(pairs), first_(first) {}

  Move advance(Objective& f, Iterate& x, DescentMemory& memory) const override;

 private:
  Index pairs_;   ///< (s, y) that are kept
  double first_;  ///< the longest first trial step
};

}  // namespace basin
