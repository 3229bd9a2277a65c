/// Gradient descent with momentum.
#pragma once

#include "basin/stationary/descent.h"

namespace basin {

/// The heavy ball (Polyak, USSR Comput. Math. Math. Phys. 4, 1964):
///
///     v' = mu v - eta g        theta' = theta + v'
class Momentum final : public DescentMethod {
 public:
  Momentum(double eta, double mu) : eta_(eta), mu_(mu) {}

  Move advance(Objective& f, Iterate& x, DescentMemory& memory) const override;

 private:
  double eta_, mu_;
};

}  // namespace basin
