#include "basin/stationary/classify.h"

#include <algorithm>
#include <cmath>

#include "basin/curvature/operators.h"
#include "basin/linalg/random.h"

namespace basin {
namespace {

constexpr double kKnown = 1e-6;          // of the targets: a residual known less well says nothing of f = 0
constexpr double kKnownGradient = 1e-8;  // of what it is elsewhere: half of the digits
constexpr double kContraction = 0.25;    // of Newton's steps
constexpr double kNear = 1e-3;           // the same function, but for what the last Newton step changes
constexpr double kClear = 1e-8;          // of |H|: smaller negative curvature is no saddle in a valley
// A Newton step that is longer than this, of the length of theta, and that would change the loss by more than
// this, of the size of outputs and residual, is none to a point near by: twice as far as a given point is
// moved, and ten times what a last Newton step may change.
constexpr double kFarStep = 2 * kSamePoint, kFarFall = 20 * kNear;
constexpr double kSoftest = 0.01;  // of |H|: curvature along a gradient may be more than it is here

/// The largest |grad f| at some random points a natural length away (MATHEMATICS.md, "Units"). f is left at
/// theta.
double gradient_near(ModelObjective& f, const Vector<double>& theta) {
  constexpr std::uint64_t kPoints = 3;
  const double length = f.length(Vector<double>::Zero(theta.size()));
  double most = 0;
  for (std::uint64_t k = 0; k < kPoints; ++k) {
    Vector<double> u(theta.size());
    Random(k, "gradient near").fill_normal(u);
    if (const auto there = f.at(theta + length / u.stableNorm() * u))
      most = std::max(most, there->gradient.stableNorm());
  }
  f.at(theta);
  return most;
}

/// Whether the gradient excludes a stationary point next to this one. Hg = H g, norm: |H|, about.
bool is_far(const StationaryPoint& p, const ModelObjective& f, const Vector<double>& Hg, double norm) {
  const double g = p.at.gradient.stableNorm();
  if (!p.gradient_known || g <= p.rounding.gradient) return false;
  // For a Newton step s |g|^2 = |s.H g| <= |s| |H g|, and g^T |H|^+ g >= |g|^4 / g^T |H| g.
  const double step = g / std::max(Hg.stableNorm() / g, kSoftest * norm);
  return step > kFarStep * f.length(p.at.theta) &&
         step * g > kFarFall * signature_scale(p.function) * p.residual;
}

/// Whether the growth of |theta| that is a sign of a limit is still there in a part of the way.
bool grew_along(const Vector<double>& part, const StationaryPoint& p) {
  return part.size() > 0 && p.norm > 0 && p.norm - p.at.theta.dot(part) / p.norm < p.norm / kExplosion;
}

/// f at its infimum to rounding, where outputs attain it, or as it underflows.
bool is_zero(const StationaryPoint& p) {
  return p.attainable && (p.residual <= p.rounding.residual || p.at.loss == 0);
}

/// Whether the point is stationary, or Newton's method goes to one next to it that is, where it sees the same
/// signs: it contracts (Newton and Kantorovich: h <= 1/2, which makes the next step a quarter of this one),
/// or is within rounding, and the model there is the same to three digits.
bool is_stationary(const StationaryPoint& p) {
  const PointCurvature& c = p.curvature;
  if (!p.gradient_known) return false;
  if (p.at.gradient.stableNorm() <= p.rounding.gradient) return true;
  return c.exact && c.zero == 0 && p.step_distance <= kNear &&
         (c.contraction <= kContraction || c.far_gradient <= p.rounding.gradient);
}

bool is_flat(const StationaryPoint& p) {
  return basin::is_flat(p.at.loss, std::max(p.at.gradient.stableNorm(), p.rounding.gradient), p.norm);
}

PointKind kind_of(const StationaryPoint& p) {
  const PointCurvature& c = p.curvature;
  if (is_zero(p)) return p.zero_known ? PointKind::zero_loss : PointKind::degenerate;
  const bool stationary = is_stationary(p), decided = c.exact && c.zero == 0, sign = p.valley != Valley::none;
  // On the way to infinity curvature fades, and what is left of it there means nothing.
  const bool negative = c.negative > 0 && (!sign || (stationary && decided) ||
                                           -c.smallest > std::max(c.smallest_bound, kClear * c.norm));
  if (!stationary) return sign && !negative && is_flat(p) ? PointKind::valley : PointKind::not_stationary;
  if (negative) return PointKind::saddle;
  if (c.negative + c.zero > 0) return sign ? PointKind::valley : PointKind::degenerate;
  return c.exact ? PointKind::strict_minimum : PointKind::degenerate;
}

/// All but the curvature; whether that matters is left to be seen.
StationaryPoint look(const NetworkTheory& theory, ModelObjective& f, const Iterate& x,
                     const std::optional<Extent>& before) {
  StationaryPoint p;
  p.at = *f.at(x.theta);
  const ModelPoint<double>& point = f.here().point();
  p.weights = point.weights;
  p.attainable = f.facts().attained;
  p.residual = f.here().residual_norm();
  p.rounding = rounding_at(f.here(), theory);
  p.function = theory.signature(point);
  Extent here = extent_of(theory, point, p.function), then = before ? *before : here;
  if (before) show_what_fades(then, here);
  p.saturation = p.function.saturation();
  p.saturation_before = then.saturation.known() ? then.saturation : p.saturation;
  p.attention = here.layers, p.attention_before = then.layers;
  p.norm = here.theta.stableNorm(), p.norm_before = then.theta.stableNorm();
  p.separation = separation_at(f.here());
  p.valley =
      p.separation.holds() ? Valley::separated : valley_of(theory, point, here, before ? &*before : nullptr);
  p.faint = p.valley != Valley::none || is_faint(here);
  const double targets = point.target_size();
  p.zero_known = targets == 0 || p.rounding.residual <= kKnown * targets;
  p.gradient_scale = gradient_near(f, p.at.theta);
  p.gradient_known = p.rounding.gradient <= kKnownGradient * p.gradient_scale;
  return p;
}

/// That margins or the gradient decide, if they do: the curvature stays unknown.
bool settle(StationaryPoint& p, ModelObjective& f, const Vector<double>& Hg) {
  const bool separated = p.valley == Valley::separated;
  if (!separated && (is_zero(p) || (p.valley != Valley::none && is_flat(p)))) return false;
  PointCurvature c;
  c.norm = norm_estimate(HessianOperator(f.here()), 0);
  if (!separated && !is_far(p, f, Hg, c.norm)) return false;
  const double scale = c.norm * p.at.gradient.stableNorm();
  c.size = f.size();
  c.from = CountsFrom::none;
  c.exact = false;
  c.gradient_slope = scale > 0 ? Hg.stableNorm() / scale : 0;
  p.curvature = std::move(c);
  p.loss_error = p.rounding.loss;
  p.kind = separated ? PointKind::valley : PointKind::not_stationary;
  return true;
}

Vector<double> hessian_times_gradient(ModelObjective& f, const Iterate& x) {
  Vectors<double> Hg(f.size(), 1);
  f.hessian(x.gradient, Hg);
  return Hg.col(0);
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

std::optional<StationaryPoint> settled_by_gradient(const ModelLoss& loss, ModelObjective& f, const Iterate& x,
                                                   const std::optional<Extent>& before) {
  StationaryPoint p = look(*loss.theory, f, x, before);
  if (!settle(p, f, hessian_times_gradient(f, p.at))) return std::nullopt;
  return p;
}

StationaryPoint classify(const ModelLoss& loss, ModelObjective& f, const Iterate& x,
                         const std::optional<Extent>& before, Index dense_limit) {
  const NetworkTheory& theory = *loss.theory;
  StationaryPoint p = look(theory, f, x, before);
  const Vector<double> Hg = hessian_times_gradient(f, p.at);
  if (settle(p, f, Hg)) return p;
  const bool zero = is_zero(p) && p.zero_known && f.facts().quadratic;
  // Where symmetries are not known, zero modes are the rule, and weights may have grown to where a point is.
  const bool doubtful =
      p.valley == Valley::exploding && !theory.symmetries(f.here().point()).left_out().empty();
  const Vector<double> way = doubtful ? Vector<double>(p.at.theta - before->theta) : Vector<double>();
  p.curvature = zero ? curvature_at_zero(theory, f, p.at)
                     : curvature_at(loss, f, p.at, p.rounding, p.faint, dense_limit, way);
  if (doubtful && is_stationary(p) && !grew_along(p.curvature.flat_way, p)) p.valley = Valley::none;
  if (const double scale = p.curvature.norm * p.at.gradient.stableNorm(); scale > 0)
    p.curvature.gradient_slope = Hg.stableNorm() / scale;
  // The point that is meant lies a Newton step away, and by the rounding of the gradient in the softest
  // direction.
  p.loss_error = p.rounding.loss + p.curvature.decrement * p.curvature.decrement / 2 + p.curvature.soft_loss;
  if (const double soft = p.curvature.soft_move.stableNorm(); soft > 0) {
    const Vector<double> moved = p.at.theta + (1 + p.curvature.newton_step / soft) * p.curvature.soft_move;
    p.function_error = signature_distance(p.function, theory.signature(f.point_at(moved)));
  }
  if (p.curvature.newton_step > 0)
    p.step_distance =
        signature_distance(p.function, theory.signature(f.point_at(p.at.theta + p.curvature.newton)));
  p.kind = kind_of(p);
  return p;
}

}  // namespace basin
