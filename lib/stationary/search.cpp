#include "stationary/search.h"

#include <algorithm>
#include <cmath>

#include "linalg/errors.h"
#include "stationary/gradient_norm.h"
#include "stationary/lbfgs.h"
#include "stationary/newton.h"

namespace basin {
namespace {

// A zero of the residual is looked for where so much of the targets' size is gone.
constexpr double kNearZero = 1e-4;

// The longest step after the descent, relative to the length of theta: long ones would leave the basin that
// it found, and run far out in valleys.
constexpr double kDrift = 0.1;
// From so far away, of the length of theta, Newton's method does not come back to a point that is given.
constexpr double kFarAway = 0.5;
// Products for one such step: in flat valleys more buy little.
constexpr Index kProducts = 100;

/// The end of a descent: by Newton's method on the gradient, or where f is nearly 0 on the residual.
Polished finish(const ModelLoss& loss, ModelObjective& f, Point x, const PolishOptions& options) {
  const LossFacts& facts = f.facts();
  const double targets = f.data().Y.stableNorm();
  if (facts.quadratic && (targets == 0 || residual_norm(facts, x.loss) <= kNearZero * targets)) {
    Polished p;
    p.first_gradient = x.gradient.stableNorm();
    p.at = polish_to_zero(f, x);
    p.length = (p.at.theta - x.theta).stableNorm();
    const double residual = residual_norm(facts, p.at.loss);
    p.rounding = rounding_at(f.here());
    if (residual <= p.rounding.residual) return p;
  }
  return polish(loss, f, std::move(x), options);
}

/// A start where the loss overflows.
Found nowhere(const ModelObjective& f, const Vector<double>& theta) {
  Found found;
  found.not_finite = true;
  found.point.at.theta = theta;
  found.point.weights = f.point_at(theta).weights;
  found.start_loss = found.descent_loss = found.descent_gradient = std::nan("");
  return found;
}

}  // namespace

std::optional<Escape> escape(Objective& f, const Point& x, const Vector<double>& direction, double curvature,
                             double loss_rounding, Reach reach) {
  if (!(curvature < 0)) return std::nullopt;
  // The first step is predicted to gain a hundred times what rounding hides.
  const double first = std::sqrt(2 * 100 * loss_rounding / -curvature), length = f.length(x.theta);
  std::optional<Escape> best;
  for (const double sign : {1.0, -1.0}) {
    double last = -loss_rounding;
    bool falls = false;
    for (double t = std::max(first, 1e-12 * length); t < 1e6 * length; t *= 2) {
      const double fall = f.loss(x.theta + sign * t * direction) - x.loss;
      if (!(fall < last)) {  // also for NaN
        if (falls || !(-t * t * curvature / 2 < x.loss)) break;
        continue;  // too short a step to be seen
      }
      falls = true;
      last = fall;
      if (!best || fall < best->fall) {
        auto there = f.at(x.theta + sign * t * direction);
        if (!there) break;
        best = Escape{std::move(*there), sign * t, t * t * curvature / 2, fall};
      }
      if (reach == Reach::visible) break;
    }
  }
  f.at(x.theta);
  return best;
}

Found search(const ModelLoss& loss, const Vector<double>& start, Target target,
             const SearchOptions& options) {
  ModelObjective f = loss.objective();
  Found found;
  std::optional<Point> first = f.at(start);
  if (!first) return nowhere(f, start);
  found.start_loss = first->loss;
  Stopping stopping = options.stopping;
  stopping.gradient_scale = f.gradient_scale();
  Point x = *first;
  PolishOptions polishing;
  polishing.dense_limit = options.dense_limit;
  Descent run{x};
  std::unique_ptr<const DescentMethod> method;
  // The method from x on.
  const auto go_down = [&](const Point& from) {
    run.at = from, run.memory = {};
    Stopping from_here = stopping;
    from_here.steps += run.step;
    DescentStatus status = descend(f, *method, run, from_here);
    found.not_finite = status.reason == DescentStatus::Reason::not_finite;
    found.descent_steps = run.step, found.taken = run.taken;
    x = run.at;
    f.at(x.theta);
    return status;
  };
  if (target == Target::minima) {
    const auto share_of_step = [&](double share) { return options.method(f, *first, share); };
    method = share_of_step(1);
    f.at(x.theta);
    const DescentStatus status = go_down(*first);
    found.rose = above(x.loss, found.start_loss);
    if (found.not_finite || found.rose)
      if (const auto shorter = descend_in_shorter_steps(f, share_of_step, *first, status.step, stopping))
        found.safe_step = shorter->status.step;
    f.at(x.theta);
  }
  found.descent_loss = x.loss;
  found.descent_gradient = x.gradient.stableNorm();
  std::optional<Before> before;
  for (;;) {
    if (found.not_finite) {
      found.point = StationaryPoint();
      found.point.at = x;
      found.point.weights = f.point_at(x.theta).weights;
      break;
    }
    if (!before) before = state_of(f, x.theta);
    if (target == Target::minima) {
      f.at(x.theta);
      Descent finishing{x};
      const TrustRegionNewton newton(HUGE_VAL, kDrift, kProducts);
      // superlinear from here on: three more digits cost a step
      const Stopping closer{stopping.gradient * 1e-3, stopping.gradient_scale, 0, options.finish_steps};
      descend(f, newton, finishing, closer);
      found.finish_steps += finishing.step;
      x = finishing.at;
      polishing.reach = kDrift * f.length(x.theta);
    } else {
      GradientNorm phi(f);
      if (std::optional<Point> at = phi.at(x.theta)) {
        Descent falling{*at};
        const Lbfgs lbfgs(10, kDrift * f.length(x.theta));
        const double slope = stopping.gradient * stopping.gradient_scale;
        descend(phi, lbfgs, falling, {0, 1, slope * slope / 2, options.stopping.steps});
        found.finish_steps += falling.step;
        if (auto there = f.at(falling.at.theta)) x = std::move(*there);
      }
    }
    Polished polished = finish(loss, f, x, polishing);
    // Newton's method on the gradient may climb, to a saddle near by: a descent does not go there.
    if (target == Target::minima && polished.at.loss > x.loss + polished.rounding.loss) {
      polished = Polished();
      polished.at = x;
    }
    found.polish_steps += polished.steps;
    found.polish_length = polished.length;
    found.point = classify(loss, f, polished.at, *before, options.dense_limit);
    if (target != Target::minima || found.point.kind != PointKind::saddle || found.escapes >= options.escapes)
      break;
    const PointCurvature& c = found.point.curvature;
    const auto away =
        escape(f, found.point.at, c.direction, c.smallest, found.point.rounding.loss, Reach::visible);
    if (!away || !(away->at.loss < x.loss)) break;
    ++found.escapes;
    f.at(away->at.theta);
    go_down(away->at);
  }
  found.distance = (found.point.at.theta - start).stableNorm();
  return found;
}

Found examine(const ModelLoss& loss, const Vector<double>& theta, Index dense_limit) {
  ModelObjective f = loss.objective();
  Found found;
  std::optional<Point> x = f.at(theta);
  if (!x) throw WorkError("the loss, its gradient or their squares overflow there");
  found.start_loss = found.descent_loss = x->loss;
  found.descent_gradient = x->gradient.stableNorm();
  if (auto settled = settled_by_gradient(f, *x)) {
    found.point = std::move(*settled);
    return found;
  }
  PolishOptions polishing;
  polishing.dense_limit = dense_limit;
  polishing.within = kFarAway * f.length(theta);
  const Polished polished = finish(loss, f, *x, polishing);
  const double distance = (polished.at.theta - theta).stableNorm();
  const bool same = !polished.left && distance <= kSamePoint * f.length(theta);
  if (same) {
    found.polish_steps = polished.steps;
    found.polish_length = found.distance = distance;
  }
  found.point = classify(loss, f, same ? polished.at : *x, std::nullopt, dense_limit);
  return found;
}

}  // namespace basin
