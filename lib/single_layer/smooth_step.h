/// A step of gradient descent after which the loss is proven to be lower (ntk/MATHEMATICS.md, "A guaranteed
/// step").
#pragma once

#include "basin/single_layer/attention_factors.h"
#include "basin/single_layer/certificate.h"

namespace basin {

struct SmoothStep {
  double radius;  ///< R: the step ends within it
  double beta;    ///< >= |grad^2 f| there, as long as f does not exceed its value at the start
  double
      step;  ///< 1 / beta: f falls by at least |grad f|^2 / (2 beta), so by the factor 1 - lambda_min / beta
};

/// S0: an upper bound on |J|; residual: |r|; gradient: |grad f|; all at the point of the norms. The smallest
/// ball that holds its own step: R beta(R) = |grad f|, beta(R) = (S0 + Dev(R))^2 + L(R) |r|. Unlike the ball
/// certificate it needs no positive eigenvalue, and says nothing about the steps that follow.
SmoothStep smooth_step(const NormConstants& norms, double S0, double residual, double gradient);

/// |J| from above for the parameters of these blocks, within a factor of m^(1/32): the Frobenius norm of
/// K^16, K = J J^T formed of factors.
double jacobian_norm_bound(const AttentionFactors& f, const std::vector<std::string>& blocks);

}  // namespace basin
