#include "stationary/classify.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "curvature/operators.h"
#include "linalg/combinators.h"
#include "model/twin.h"
#include "spectrum/counts.h"
#include "spectrum/eigenpairs.h"

namespace basin {
namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
// Attention below this, relative to its row or in a row's sum, is a sign of a limit at infinity: what is left
// of gradient and curvature there is at the square root of rounding.
constexpr double kSaturated = 1e-8;
constexpr double kRounding = 1e-16;  // below this the limit is reached to rounding
constexpr double kGrowth = 1.0;      // of the logarithm of attention, between descent and now
constexpr double kExplosion = 1.5;   // of |theta|
constexpr double kFlat = 1e-3;       // share of the loss that the gradient promises over a distance |theta|

/// v^T H v at theta + t v.
double curvature_along(ModelObjective& f, const Vector<double>& theta, const Vector<double>& v, double t) {
  if (!f.at(theta + t * v)) return kNaN;
  Vectors<double> Hv(v.size(), 1);
  f.hessian(v, Hv);
  return v.dot(Hv.col(0));
}

/// Whether lambda, of the unit eigenvector v, is what it is to a factor 2 wherever the point may be.
bool holds(ModelObjective& f, const Point& x, double rounding, const Vector<double>& v, double lambda,
           double norm) {
  const double away = (std::abs(v.dot(x.gradient)) + rounding) / std::abs(lambda);
  // Where the Hessian would have to change by |H| over a thousandth of |theta| it need not be asked.
  if (away * norm < 1e-3 * std::abs(lambda) * std::max(1.0, x.theta.norm()) * 1e-3) return true;
  for (const double t : {-away, away})
    if (!(std::abs(curvature_along(f, x.theta, v, t) - lambda) <= std::abs(lambda) / 2)) return false;
  return true;
}

/// All eigenvalues.
PointCurvature dense_curvature(ModelObjective& f, const Point& x, const SelfAdjointOperator& H,
                               const SelfAdjointOperator& twin, const Removal& remove, Index removed,
                               double rounding, double invisible) {
  PointCurvature c;
  c.size = H.rows();
  c.removed = removed;
  const double norm = norm_estimate(H, 0), shift = norm > 0 ? 1.5 * norm : 1;
  const DeflatedOperator A(H, remove, shift), A_twin(twin, remove, shift);
  EigenOptions options;
  options.twin = &A_twin;
  const EigenResult all = full_spectrum(A, true, options);
  const Index left = c.size - removed;
  c.smallest_bound = all.eigenvalues[0].error_bound;
  c.tolerance = std::max(c.smallest_bound, invisible);
  c.smallest = all.eigenvalues[0].value;
  c.direction = all.eigenvectors.col(0);
  double decrement = 0, step = 0;
  for (Index i = 0; i < left; ++i) {
    const double lambda = all.eigenvalues[i].value;
    if (std::abs(lambda) <= c.tolerance) {
      ++c.zero;
      continue;
    }
    const double along = all.eigenvectors.col(i).dot(x.gradient);
    decrement += along * along / std::abs(lambda);
    step += along * along / (lambda * lambda);
    if (c.softest == 0 || std::abs(lambda) < c.softest) {
      c.softest = std::abs(lambda);
      c.soft_direction = all.eigenvectors.col(i);
    }
    if (!holds(f, x, rounding, all.eigenvectors.col(i), lambda, norm))
      ++c.zero, ++c.undecided;
    else
      ++(lambda < 0 ? c.negative : c.positive);
  }
  c.decrement = std::sqrt(decrement);
  c.newton_step = std::sqrt(step);
  f.at(x.theta);
  return c;
}

/// The smallest eigenvalues, from products.
PointCurvature krylov_curvature(ModelObjective& f, const Point& x, const SelfAdjointOperator& H,
                                const SelfAdjointOperator& twin, const Removal& remove, Index removed,
                                const Vector<double>& newton, double rounding, double invisible) {
  RestrictedOptions options;
  options.dense_limit = 0;
  options.eigen.twin = &twin;
  const RestrictedCurvature found = restricted_curvature(H, remove, removed, options);
  PointCurvature c;
  c.size = H.rows();
  c.removed = removed;
  c.dense = false;
  c.negative = found.counts.negative, c.zero = found.counts.zero, c.positive = found.counts.positive;
  c.exact = found.counts.exact();
  c.tolerance = found.counts.tolerance;
  c.smallest = found.smallest.value;
  c.smallest_bound = found.smallest.error_bound;
  c.direction = found.direction;
  if (std::abs(c.smallest) > c.tolerance) c.softest = std::abs(c.smallest), c.soft_direction = c.direction;
  if (std::abs(c.smallest) > c.tolerance &&
      (std::abs(c.smallest) <= invisible ||
       !holds(f, x, rounding, c.direction, c.smallest, norm_estimate(H, 0)))) {
    --(c.smallest < 0 ? c.negative : c.positive);
    ++c.zero, ++c.undecided;
  }
  c.decrement = std::sqrt(std::abs(newton.dot(x.gradient)));
  c.newton_step = newton.norm();
  f.at(x.theta);
  return c;
}

PointCurvature curvature_at(const AttentionLoss& loss, ModelObjective& f, const Point& x,
                            const Vector<double>& weights, const Rounding& rounding, Index dense_limit) {
  const Symmetries symmetries(loss.spec, loss.model->parameters(), weights, *loss.data);
  const Index removed = symmetries.modes();
  if (removed == f.size()) {
    PointCurvature c;
    c.size = c.removed = removed;
    c.smallest = c.smallest_bound = kNaN;
    c.direction = Vector<double>::Zero(removed);
    return c;
  }
  const Removal remove = [&](VectorsRef<double> V) { symmetries.remove(V); };
  const Linearization<double> at(loss.model, weights, loss.data, {.memory = loss.memory});
  Twin twin = make_twin(weights, *loss.data);
  const Linearization<double> at_twin(loss.model, std::move(twin.weights), std::move(twin.data),
                                      {.memory = loss.memory});
  const HessianOperator H(at), H_twin(at_twin);
  // A curvature that changes f by less than its rounding over a distance 1 + |theta|.
  const double reach = 1 + x.theta.norm(), invisible = 2 * rounding.loss / (reach * reach);
  if (f.size() <= dense_limit)
    return dense_curvature(f, x, H, H_twin, remove, removed, rounding.gradient, invisible);
  return krylov_curvature(f, x, H, H_twin, remove, removed, newton_step(f, symmetries, x), rounding.gradient,
                          invisible);
}

/// The sign of a limit at infinity, if there is one.
Valley valley_of(const StationaryPoint& p, KernelKind kernel, bool with_history) {
  const auto limit = [&](double now, double before) {
    return now <= kRounding || (now <= kSaturated && with_history && std::log(before / now) >= kGrowth);
  };
  if (kernel == KernelKind::gaussian && limit(p.saturation.smallest_sum, p.saturation_before.smallest_sum))
    return Valley::vanished;
  if (limit(std::exp(-p.saturation.range), std::exp(-p.saturation_before.range))) return Valley::saturated;
  if (with_history && p.norm > kExplosion * p.norm_before) return Valley::exploding;
  return Valley::none;
}

PointKind kind_of(const StationaryPoint& p) {
  const PointCurvature& c = p.curvature;
  if (p.residual <= p.rounding.residual) return PointKind::zero_loss;
  const double slope = p.at.gradient.norm();
  if (!(slope <= p.rounding.gradient))
    return p.valley != Valley::none && slope * p.norm <= kFlat * p.at.loss ? PointKind::valley
                                                                           : PointKind::not_stationary;
  if (c.negative > 0) return PointKind::saddle;
  if (c.zero > 0) return p.valley != Valley::none ? PointKind::valley : PointKind::degenerate;
  return c.exact ? PointKind::strict_minimum : PointKind::degenerate;
}

}  // namespace

std::string name_of(PointKind kind) {
  switch (kind) {
    case PointKind::zero_loss:
      return "zero loss";
    case PointKind::strict_minimum:
      return "strict minimum";
    case PointKind::saddle:
      return "saddle";
    case PointKind::degenerate:
      return "degenerate";
    case PointKind::valley:
      return "valley";
    case PointKind::not_stationary:
      return "not stationary";
    default:
      return "not finite";
  }
}

std::string completeness(const PointCurvature& c) {
  if (c.dense) return "all eigenvalues were computed";
  return c.exact ? "from the smallest eigenvalues; a search for missed ones found none"
                 : "at least so many: from the smallest eigenvalues";
}

Before state_of(const AttentionLoss& loss, ModelObjective& f, const Vector<double>& theta) {
  return {attention_function(loss.spec, f.weights_at(theta), *loss.data).saturation(), theta.norm()};
}

StationaryPoint classify(const AttentionLoss& loss, ModelObjective& f, const Point& x,
                         const std::optional<Before>& before, Index dense_limit) {
  StationaryPoint p;
  p.at = *f.at(x.theta);
  p.weights = f.weights_at(x.theta);
  const Matrix<double> outputs = f.here().outputs();
  p.residual = (outputs - loss.data->Y).norm();
  p.rounding = rounding_at(loss.spec, loss.model, p.weights, *loss.data, p.at.loss, outputs, p.at.gradient);
  p.function = attention_function(loss.spec, p.weights, *loss.data);
  p.saturation = p.saturation_before = p.function.saturation();
  p.norm = p.norm_before = x.theta.norm();
  if (before) p.saturation_before = before->saturation, p.norm_before = before->norm;
  p.curvature = curvature_at(loss, f, p.at, p.weights, p.rounding, dense_limit);
  // The point that is meant lies a Newton step away, and by the rounding of the gradient in the softest
  // direction.
  const double softest = p.curvature.softest, allowance = p.rounding.gradient;
  p.loss_error = p.rounding.loss + p.curvature.decrement * p.curvature.decrement / 2;
  if (softest > 0) {
    p.loss_error += allowance * allowance / (2 * softest);
    const double away = p.curvature.newton_step + allowance / softest;
    const Vector<double> moved = f.weights_at(p.at.theta + away * p.curvature.soft_direction);
    p.function_error = function_distance(p.function, attention_function(loss.spec, moved, *loss.data));
  }
  p.valley = valley_of(p, loss.spec.kernel, before.has_value());
  p.kind = kind_of(p);
  return p;
}

}  // namespace basin
