#include "basin/training/proven_steps.h"

#include <cmath>

#include "basin/linalg/errors.h"
#include "basin/single_layer/smooth_step.h"

namespace basin {

GradientDescent::Rule certified_rule(const Certificate& certificate) {
  if (!certificate.passes || !(certificate.step > 0))
    throw InputError("the certificate proves no step of gradient descent");
  return [c = certificate](const Iterate& x) { return GuaranteedStep{c.step, c.rate * x.loss}; };
}

GradientDescent::Rule guaranteed_rule(ModelPoint<double> point) {
  return [point = std::move(point)](const Iterate& x) {
    const ModelPoint<double> here = point.at(x.theta);
    const auto factors = attention_factors(here);
    const double slope = x.gradient.norm();
    const SmoothStep s =
        smooth_step(norm_constants(here), jacobian_norm_bound(factors, point.parameters().trained()),
                    residual_bound(point, x.loss), slope);
    return GuaranteedStep{s.step, x.loss - s.step * slope * slope / 2};
  };
}

double residual_bound(const ModelPoint<double>& point, double loss) {
  const double residual = residual_norm(point.model->loss().facts(), loss), targets = point.data->Y.norm();
  const auto terms = static_cast<double>(point.data->Y.size());
  return residual * (1 + 4 * terms * kEps) + 16 * kEps * (targets + residual);
}

Guarantee guarantee_of(const ModelPoint<double>& point, const Move& move, double before, double after) {
  constexpr double kSmallestLoss = 1e-20;  // of loss_scale
  if (!std::isfinite(move.loss_bound) || !(before > kSmallestLoss * loss_scale(point)))
    return Guarantee::none;
  const double residual = residual_norm(point.model->loss().facts(), before);
  const double rounding = residual * (residual_bound(point, before) - residual);
  return after > move.loss_bound + rounding ? Guarantee::broken : Guarantee::kept;
}

}  // namespace basin
