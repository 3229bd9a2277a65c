/// Adam.
#pragma once

#include "basin/stationary/descent.h"

namespace basin {

struct AdamOptions {
  double eta = 1e-3;  ///< and the defaults of the paper:
  double beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8;
};

/// Kingma and Ba, "Adam: a method for stochastic optimization", ICLR 2015, algorithm 1, on the full gradient:
///
///     m' = beta1 m + (1 - beta1) g             v' = beta2 v + (1 - beta2) g^2
///     theta' = theta - eta (m' / (1 - beta1^t)) / (sqrt(v' / (1 - beta2^t)) + epsilon)
class Adam final : public DescentMethod {
 public:
  explicit Adam(AdamOptions options) : options_(options) {}

  Move advance(Objective& f, Iterate& x, DescentMemory& memory) const override;

 private:
  AdamOptions options_;
};

}  // namespace basin
