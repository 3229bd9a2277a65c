/// Gradient descent on what the outputs are linear in (MATHEMATICS.md, "The last layer alone").
#pragma once

#include <optional>

#include "basin/ntk/kernel_minimum.h"

namespace basin {

/// Whether the trained blocks are those of the last layer, a linear one: then outputs are affine in theta, J
/// and K are the same everywhere, a convex loss is convex in theta, and every stationary point of it is a
/// global minimum.
bool trains_last_layer_alone(const Model<double>& model);

/// Gradient descent under squared loss from anywhere: r <- (1 - step s K) r, s the curvature of the loss.
struct LinearCertificate {
  bool passes = false;   ///< lambda_min(K) > 0: it converges to zero loss
  double curvature = 1;  ///< s: 1 of 1/2 |F - Y|^2
  double step = 0;       ///< 1 / (s lambda_max)
  double rate = 1;       ///< each step leaves this share of f at most: (1 - lambda_min / lambda_max)^2
};

/// `sum`: the kernel of all trained blocks on the outputs that count. Nothing unless trains_last_layer_alone,
/// and for losses that are not squared ones.
std::optional<LinearCertificate> linear_certificate(const Linearization<double>& at,
                                                    const KernelMinimum& sum);

}  // namespace basin
