#include "basin/stationary/search.h"

#include <algorithm>
#include <cmath>

#include "basin/linalg/errors.h"
#include "basin/stationary/gradient_norm.h"
#include "basin/stationary/lbfgs.h"
#include "basin/stationary/newton.h"

namespace basin {
namespace {

// A zero of the residual is looked for where so much of the targets' size is gone.
constexpr double kNearZero = 1e-4;

// The longest step after the descent, relative to the length of theta: long ones would leave the basin that
// it found, and run far out in valleys.
constexpr double kDrift = 0.1;
// From so far away, of the length of theta, Newton's method does not come back to a point that is given.
constexpr double kFarAway = 0.05;
// Products for one such step: in flat valleys more buy little.
constexpr Index kProducts = 100;

/// The end of a descent: by Newton's method on the gradient, or where f is nearly 0 on the residual.
Polished finish(const ModelLoss& loss, ModelObjective& f, Iterate x, const PolishOptions& options) {
  const LossFacts& facts = f.facts();
  const double targets = f.data().Y.stableNorm();
  if (facts.quadratic && (targets == 0 || residual_norm(facts, x.loss) <= kNearZero * targets)) {
    Polished p;
    p.first_gradient = x.gradient.stableNorm();
    p.at = polish_to_zero(f, x);
    p.length = (p.at.theta - x.theta).stableNorm();
    const double residual = residual_norm(facts, p.at.loss);
    p.rounding = rounding_at(f.here(), *loss.theory);
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

/// A search: where it is, and what has happened.
class Search {
 public:
  Search(const ModelLoss& loss, const Vector<double>& start, Target target, const SearchOptions& options)
      : loss_(loss), start_(start), target_(target), options_(options), f_(loss.objective()) {
    polishing_.dense_limit = options.dense_limit;
  }
  Found run();

 private:
  /// The method from the start, and in shorter steps where these were too long.
  void descend_from(const Iterate& first);
  /// The method from here on.
  DescentStatus go_down(const Iterate& from);
  /// That every row is in its class here: Newton's method would go on to infinity, and nothing be decided.
  bool separated() {
    if (!f_.facts().centred) return false;
    f_.at(x_.theta);
    return separation_at(f_.here()).holds();
  }
  /// Nearer to a minimum by trust-region Newton.
  void close_in();
  /// Nearer to a stationary point of any index by L-BFGS on |grad f|^2 / 2.
  void lower_gradient();
  /// From near a stationary point to the point itself.
  Polished polished();
  /// Down from a saddle; false where the search ends.
  bool leave_saddle();

  const ModelLoss& loss_;
  const Vector<double>& start_;
  const Target target_;
  const SearchOptions& options_;
  ModelObjective f_;
  Stopping stopping_;
  PolishOptions polishing_;
  std::unique_ptr<const DescentMethod> method_;
  Descent descent_;
  Iterate x_;
  Found found_;
};

Found Search::run() {
  const std::optional<Iterate> first = f_.at(start_);
  if (!first) return nowhere(f_, start_);
  found_.start_loss = first->loss;
  stopping_ = options_.stopping;
  stopping_.gradient_scale = f_.gradient_scale();
  x_ = *first;
  if (target_ == Target::minima) descend_from(*first);
  found_.descent_loss = x_.loss;
  found_.descent_gradient = x_.gradient.stableNorm();
  std::optional<Extent> before;
  do {
    if (found_.not_finite) {
      found_.point = StationaryPoint();
      found_.point.at = x_;
      found_.point.weights = f_.point_at(x_.theta).weights;
      break;
    }
    if (!before)
      before = history(extent_of(*loss_.theory, loss_.point.at(start_)),
                       extent_of(*loss_.theory, loss_.point.at(x_.theta)));
    if (target_ == Target::any)
      lower_gradient();
    else if (!separated())
      close_in();
    const Iterate end = separated() ? x_ : polished().at;
    found_.point = classify(loss_, f_, end, *before, options_.dense_limit);
  } while (leave_saddle());
  found_.distance = (found_.point.at.theta - start_).stableNorm();
  return std::move(found_);
}

void Search::descend_from(const Iterate& first) {
  const auto share_of_step = [&](double share) { return options_.method(f_, first, share); };
  method_ = share_of_step(1);
  f_.at(x_.theta);
  const DescentStatus status = go_down(first);
  found_.rose = above(x_.loss, found_.start_loss);
  if (found_.not_finite || found_.rose)
    if (const auto shorter = descend_in_shorter_steps(f_, share_of_step, first, status.step, stopping_))
      found_.safe_step = shorter->status.step;
  f_.at(x_.theta);
}

DescentStatus Search::go_down(const Iterate& from) {
  descent_.at = from, descent_.memory = {};
  Stopping from_here = stopping_;
  from_here.steps += descent_.step;
  DescentStatus status = descend(f_, *method_, descent_, from_here);
  found_.not_finite = status.reason == DescentStatus::Reason::not_finite;
  found_.descent_steps = descent_.step, found_.taken = descent_.taken;
  x_ = descent_.at;
  f_.at(x_.theta);
  return status;
}

void Search::close_in() {
  f_.at(x_.theta);
  Descent finishing{x_};
  const TrustRegionNewton newton(HUGE_VAL, kDrift, kProducts);
  // superlinear from here on: three more digits cost a step
  const Stopping closer{stopping_.gradient * 1e-3, stopping_.gradient_scale, 0, options_.finish_steps};
  descend(f_, newton, finishing, closer);
  found_.finish_steps += finishing.step;
  x_ = finishing.at;
  polishing_.reach = kDrift * f_.length(x_.theta);
}

void Search::lower_gradient() {
  GradientNorm phi(f_);
  const std::optional<Iterate> at = phi.at(x_.theta);
  if (!at) return;
  Descent falling{*at};
  const Lbfgs lbfgs(10, kDrift * f_.length(x_.theta));
  const double slope = stopping_.gradient * stopping_.gradient_scale;
  descend(phi, lbfgs, falling, {0, 1, slope * slope / 2, options_.stopping.steps});
  found_.finish_steps += falling.step;
  if (auto there = f_.at(falling.at.theta)) x_ = std::move(*there);
}

Polished Search::polished() {
  Polished end = finish(loss_, f_, x_, polishing_);
  // Newton's method on the gradient may climb, to a saddle near by: a descent does not go there.
  if (target_ == Target::minima && end.at.loss > x_.loss + end.rounding.loss) {
    end = Polished();
    end.at = x_;
  }
  found_.polish_steps += end.steps;
  found_.polish_length = end.length;
  return end;
}

bool Search::leave_saddle() {
  if (target_ != Target::minima || found_.point.kind != PointKind::saddle ||
      found_.escapes >= options_.escapes)
    return false;
  const PointCurvature& c = found_.point.curvature;
  const auto away =
      escape(f_, found_.point.at, c.direction, c.smallest, found_.point.rounding.loss, Reach::visible);
  if (!away || !(away->at.loss < x_.loss)) return false;
  ++found_.escapes;
  f_.at(away->at.theta);
  go_down(away->at);
  return true;
}

}  // namespace

std::optional<Escape> escape(Objective& f, const Iterate& x, const Vector<double>& direction,
                             double curvature, double loss_rounding, Reach reach) {
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
  return Search(loss, start, target, options).run();
}

Found examine(const ModelLoss& loss, const Vector<double>& theta, Index dense_limit) {
  ModelObjective f = loss.objective();
  Found found;
  std::optional<Iterate> x = f.at(theta);
  if (!x) throw WorkError("the loss, its gradient or their squares overflow there");
  found.start_loss = found.descent_loss = x->loss;
  found.descent_gradient = x->gradient.stableNorm();
  if (auto settled = settled_by_gradient(loss, f, *x)) {
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
