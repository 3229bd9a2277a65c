/// Steps of gradient descent after which the loss is proven to be lower, as rules of a descent
/// (ntk/MATHEMATICS.md, "The ball certificate" and "A guaranteed step").
#pragma once

#include "basin/model/model_point.h"
#include "basin/single_layer/certificate.h"
#include "basin/stationary/gradient_descent.h"

namespace basin {

/// The step of a certificate, the same in all of them: for descents from the point that it is of. Throws
/// InputError unless it passes, with a positive step.
GradientDescent::Rule certified_rule(const Certificate& certificate);

/// 1 / beta in every step, beta the bound on the curvature along it (single_layer/smooth_step.h). point:
/// model, data and the blocks that are held fixed. The rule throws as norm_constants and attention_factors.
GradientDescent::Rule guaranteed_rule(ModelPoint<double> point);

/// Upper bound on |F - Y| where f = loss, rounding of the outputs allowed for. Throws InputError for a loss
/// of which the residual does not follow.
double residual_bound(const ModelPoint<double>& point, double loss);

/// What became of the largest loss that theory allows after a step.
enum class Guarantee {
  none,  ///< nothing was guaranteed; or the loss is below 1e-20 |Y|^2 / 2, where only rounding would be seen
  kept,
  broken,  ///< by more than the rounding of f
};
/// before, after: the loss at the ends of the step.
Guarantee guarantee_of(const ModelPoint<double>& point, const Move& move, double before, double after);

}  // namespace basin
