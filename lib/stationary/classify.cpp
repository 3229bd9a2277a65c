#include "stationary/classify.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "curvature/operators.h"
#include "model/twin.h"
#include "spectrum/counts.h"
#include "spectrum/eigenpairs.h"
#include "stationary/null_directions.h"

namespace basin {
namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
// Attention below this, relative to its row or in a row's sum, is a sign of a limit at infinity: what is left
// of gradient and curvature there is at the square root of rounding.
constexpr double kSaturated = 1e-8;
constexpr double kKnown = 1e-6;       // of the targets: a residual known less well says nothing of f = 0
constexpr double kRounding = 1e-16;   // below this the limit is reached to rounding
constexpr double kGrowth = 1.0;       // of the logarithm of attention, between descent and now
constexpr double kExplosion = 1.5;    // of |theta|
constexpr double kClear = 1e-8;       // of |H|: smaller negative curvature is no saddle in a valley
constexpr double kCurved = 1e-8;      // of |H|: a symmetry direction t with a larger |H t| is none here
constexpr double kSmallBlock = 1e-4;  // of |theta|: rounding of the gradient turns symmetries of such blocks
constexpr double kFlat = 1e-3;        // share of the loss that the gradient promises over a distance |theta|

/// v^T H v at theta.
double curvature_of(ModelObjective& f, const Vector<double>& theta, const Vector<double>& v) {
  if (!f.at(theta)) return kNaN;
  Vectors<double> Hv(v.size(), 1);
  f.hessian(v, Hv);
  return v.dot(Hv.col(0));
}

/// Whether lambda, of the unit eigenvector v, is what it is to a factor 2 wherever the point may be: along v,
/// and a Newton step away.
bool holds(ModelObjective& f, const Point& x, double rounding, const Vector<double>& v, double lambda,
           double norm, const Vector<double>& newton) {
  const double away = (std::abs(v.dot(x.gradient)) + rounding) / std::abs(lambda);
  const auto same = [&](const Vector<double>& move, double length) {
    // Where the Hessian would have to change by |H| over a thousandth of |theta| it need not be asked.
    return length * norm < 1e-3 * std::abs(lambda) * f.length(x.theta) * 1e-3 ||
           std::abs(curvature_of(f, x.theta + move, v) - lambda) <= std::abs(lambda) / 2;
  };
  return same(-away * v, away) && same(away * v, away) && same(newton, newton.stableNorm());
}

/// Counts the eigenvalues that were found on the complement, ascending, by sign.
void count(PointCurvature& c, ModelObjective& f, const Point& x, const std::vector<Eigenvalue>& eigenvalues,
           const Vectors<double>& vectors, const Vector<double>& newton, double rounding, double invisible) {
  c.negative = c.zero = c.positive = 0;
  for (std::size_t i = 0; i < eigenvalues.size(); ++i) {
    const double lambda = eigenvalues[i].value;
    const Vector<double> v = vectors.col(static_cast<Index>(i));
    if (std::abs(lambda) <= c.tolerance) {
      ++c.zero;
      continue;
    }
    if (c.softest == 0 || std::abs(lambda) < c.softest) c.softest = std::abs(lambda), c.soft_direction = v;
    if (std::abs(lambda) <= invisible || !holds(f, x, rounding, v, lambda, c.norm, newton))
      ++c.zero, ++c.undecided;
    else
      ++(lambda < 0 ? c.negative : c.positive);
  }
  f.at(x.theta);
}

/// All eigenvalues.
PointCurvature dense_curvature(ModelObjective& f, const Point& x, const SelfAdjointOperator& H,
                               const SelfAdjointOperator& twin, const Removal& remove, Index removed,
                               double norm, double rounding, double invisible) {
  PointCurvature c;
  c.size = H.rows();
  c.removed = removed;
  c.norm = norm;
  const EigenResult all = full_spectrum(measured_matrix(H, &twin), true, remove, removed);
  c.smallest = all.eigenvalues[0].value;
  c.smallest_bound = all.eigenvalues[0].error_bound;
  c.direction = all.eigenvectors.col(0);
  c.tolerance = std::max(c.smallest_bound, invisible);
  Vector<double> newton = Vector<double>::Zero(c.size);
  double decrement = 0;
  for (std::size_t i = 0; i < all.eigenvalues.size(); ++i) {
    const double lambda = all.eigenvalues[i].value;
    if (std::abs(lambda) <= c.tolerance) continue;
    const auto v = all.eigenvectors.col(static_cast<Index>(i));
    const double along = v.dot(x.gradient);
    decrement += along * along / std::abs(lambda);
    newton -= along / lambda * v;
  }
  c.decrement = std::sqrt(decrement);
  c.newton_step = newton.stableNorm();
  count(c, f, x, all.eigenvalues, all.eigenvectors, newton, rounding, invisible);
  return c;
}

/// The smallest eigenvalues, from products.
PointCurvature krylov_curvature(ModelObjective& f, const Point& x, const SelfAdjointOperator& H,
                                const SelfAdjointOperator& twin, const Removal& remove, Index removed,
                                double norm, const Vector<double>& newton, double rounding,
                                double invisible) {
  constexpr Index kPairs = 6;
  PointCurvature c;
  c.size = H.rows();
  c.removed = removed;
  c.norm = norm;
  c.dense = false;
  const Index left = c.size - removed;
  EigenOptions options;
  options.twin = &twin;
  options.dense_limit = 0;
  const EigenResult found = restricted_eigenpairs(H, remove, removed, kPairs, 0, options).smallest;
  const EigenvalueCounts counts = krylov_counts(found, c.size, removed);
  c.tolerance = counts.tolerance;
  c.smallest = found.eigenvalues[0].value;
  c.smallest_bound = found.eigenvalues[0].error_bound;
  c.direction = found.eigenvectors.col(0);
  c.decrement = std::sqrt(std::abs(newton.dot(x.gradient)));
  c.newton_step = newton.stableNorm();
  count(c, f, x, found.eigenvalues, found.eigenvectors, newton, rounding, invisible);
  c.exact = counts.exact() && (c.positive > 0 || found.requested == left);
  c.positive = left - c.negative - c.zero;
  return c;
}

PointCurvature curvature_at(const AttentionLoss& loss, ModelObjective& f, const Point& x,
                            const Vector<double>& weights, const Rounding& rounding, Index dense_limit) {
  const Linearization<double> at(loss.model, weights, loss.data, {.memory = loss.memory});
  Twin twin = make_twin(weights, *loss.data);
  const Linearization<double> at_twin(loss.model, std::move(twin.weights), std::move(twin.data),
                                      {.memory = loss.memory});
  const HessianOperator H(at), H_twin(at_twin);
  const double norm = norm_estimate(H, 0), reach = f.length(x.theta);
  const Symmetries symmetries(loss.spec, loss.model->parameters(), weights, *loss.data);
  // Theory has them as null vectors at stationary points only.
  const bool stationary = x.gradient.stableNorm() <= rounding.gradient;
  const NullDirections null(
      symmetries, H, stationary ? kCurved * norm + rounding.gradient / (kSmallBlock * reach) : HUGE_VAL);
  const Index removed = null.modes();
  if (removed == f.size()) {
    PointCurvature c;
    c.size = c.removed = removed;
    c.norm = norm;
    c.smallest = c.smallest_bound = kNaN;
    c.direction = Vector<double>::Zero(removed);
    return c;
  }
  const Removal remove = [&](VectorsRef<double> V) { null.remove(V); };
  // A curvature that changes f by less than its rounding over a distance of the length of theta.
  const double invisible = 2 * rounding.loss / (reach * reach);
  if (f.size() <= dense_limit)
    return dense_curvature(f, x, H, H_twin, remove, removed, norm, rounding.gradient, invisible);
  return krylov_curvature(f, x, H, H_twin, remove, removed, norm, newton_step(f, remove, x),
                          rounding.gradient, invisible);
}

/// The sign of a limit at infinity, if there is one.
Valley valley_of(const StationaryPoint& p, KernelKind kernel, bool with_history) {
  const auto limit = [&](double now, double before) {
    return now <= kRounding || (now <= kSaturated && (!with_history || std::log(before / now) >= kGrowth));
  };
  if (kernel == KernelKind::gaussian && limit(p.saturation.smallest_sum, p.saturation_before.smallest_sum))
    return Valley::vanished;
  if (limit(std::exp(-p.saturation.range), std::exp(-p.saturation_before.range))) return Valley::saturated;
  if (with_history && p.norm > kExplosion * p.norm_before) return Valley::exploding;
  return Valley::none;
}

PointKind kind_of(const StationaryPoint& p) {
  const PointCurvature& c = p.curvature;
  if (p.residual <= p.rounding.residual) return p.zero_known ? PointKind::zero_loss : PointKind::degenerate;
  const double slope = p.at.gradient.stableNorm();
  const bool stationary = slope <= p.rounding.gradient, sign = p.valley != Valley::none;
  // On the way to infinity curvature fades, and what is left of it there means nothing.
  const bool negative =
      c.negative > 0 && (!sign || -c.smallest > std::max(c.smallest_bound, kClear * c.norm));
  if (!stationary)
    return sign && !negative && slope * p.norm <= kFlat * p.at.loss ? PointKind::valley
                                                                    : PointKind::not_stationary;
  if (negative) return PointKind::saddle;
  if (c.negative + c.zero > 0) return sign ? PointKind::valley : PointKind::degenerate;
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
  return {attention_function(loss.spec, f.weights_at(theta), *loss.data).saturation(), theta.stableNorm()};
}

StationaryPoint classify(const AttentionLoss& loss, ModelObjective& f, const Point& x,
                         const std::optional<Before>& before, Index dense_limit) {
  StationaryPoint p;
  p.at = *f.at(x.theta);
  p.weights = f.weights_at(x.theta);
  const Matrix<double> outputs = f.here().outputs();
  p.residual = (outputs - loss.data->Y).stableNorm();
  p.rounding = rounding_at(loss.spec, loss.model, p.weights, *loss.data, p.at.loss, outputs, p.at.gradient);
  p.function = attention_function(loss.spec, p.weights, *loss.data);
  p.saturation = p.saturation_before = p.function.saturation();
  p.norm = p.norm_before = x.theta.stableNorm();
  if (before) p.saturation_before = before->saturation, p.norm_before = before->norm;
  Vectors<double> Hg(f.size(), 1);
  f.hessian(p.at.gradient, Hg);
  p.curvature = curvature_at(loss, f, p.at, p.weights, p.rounding, dense_limit);
  if (const double scale = p.curvature.norm * p.at.gradient.stableNorm(); scale > 0)
    p.curvature.gradient_slope = Hg.stableNorm() / scale;
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
  const double targets = loss.data->Y.stableNorm();
  p.zero_known = targets == 0 || p.rounding.residual <= kKnown * targets;
  p.valley = valley_of(p, loss.spec.kernel, before.has_value());
  p.kind = kind_of(p);
  return p;
}

}  // namespace basin
