#include "basin/stationary/gradient_descent.h"

#include <algorithm>
#include <cmath>

namespace basin {
namespace {

// Nocedal and Wright's choice: hardly any decrease is asked for.
constexpr double kDecrease = 1e-4;
// Halvings that reach from any useful step to below the rounding of theta.
constexpr int kHalvings = 100;

// Following the flow: a step on which H is constant lowers f so far if it does not turn g further.
constexpr double kFlowDecrease = 0.5;
constexpr double kTurn = 0.1;   // of |g|
constexpr double kReach = 0.1;  // of |theta|
constexpr int kCalm = 10;       // steps before a longer one is tried

/// The longest step from x that is short beside theta.
double within_reach(const Iterate& x) {
  const double size = x.theta.stableNorm();
  return size > 0 ? kReach * size / x.gradient.stableNorm() : HUGE_VAL;
}

/// Whether a step eta from x to y is one that the flow goes.
bool follows(const Objective& f, const Iterate& x, const Iterate& y, double eta) {
  const double slope = x.gradient.stableNorm();
  return y.loss <= x.loss - kFlowDecrease * (eta * slope) * slope + f.loss_rounding(x.loss) &&
         (y.gradient - x.gradient).stableNorm() <= kTurn * slope;
}

/// Over it the gradient changes by kTurn, as far as the Hessian tells.
double first_step(Objective& f, const Iterate& x) {
  Vectors<double> Hg(f.size(), 1);
  f.hessian(x.gradient, Hg);
  const double slope = x.gradient.stableNorm(), change = Hg.col(0).stableNorm();
  // where H g = 0: as far as f could fall
  const double eta = change > 0 ? kTurn * slope / change : 2 * std::abs(x.loss) / slope / slope;
  return std::min(eta, within_reach(x));
}

}  // namespace

Move GradientDescent::advance(Objective& f, Iterate& x, DescentMemory& /*memory*/) const {
  const GuaranteedStep rule = rule_(x);
  Move move = move_to(f, x, x.theta - rule.step * x.gradient, rule.step);
  move.loss_bound = rule.loss_bound;
  return move;
}

Move FlowDescent::advance(Objective& f, Iterate& x, DescentMemory& memory) const {
  const bool first = !memory.numbers.contains("step");
  double eta = first ? first_step(f, x) : memory.numbers["step"], calm = first ? 0 : memory.numbers["calm"];
  Move move;
  move.step = std::min(eta, within_reach(x));
  for (int halving = 0; halving < kHalvings; ++halving, move.step /= 2) {
    Vector<double> theta = x.theta - move.step * x.gradient;
    set_length(move, x.theta, theta);
    if (move.length == 0) break;
    std::optional<Iterate> there = f.at(std::move(theta));
    if (!there || !follows(f, x, *there, move.step)) continue;
    move.shortened = halving > 0;
    if (move.shortened)
      eta = move.step, calm = 0;
    else if (move.step == eta && ++calm == kCalm)
      eta *= 2, calm = 0;
    memory.numbers["step"] = eta, memory.numbers["calm"] = calm;
    x = std::move(*there);
    return move;
  }
  f.at(x.theta);
  return {.outcome = Move::Outcome::stalled,
          .why = "no step along -grad f lowers the loss and its slope beyond rounding"};
}

Move LineSearchDescent::advance(Objective& f, Iterate& x, DescentMemory& memory) const {
  const auto last = memory.numbers.find("step");
  double eta = last != memory.numbers.end() ? 2 * last->second : first_ ? *first_ : first_step(f, x);
  const double slope = x.gradient.squaredNorm();
  for (int halving = 0; halving < kHalvings; ++halving, eta /= 2) {
    const Vector<double> theta = x.theta - eta * x.gradient;
    // f(theta - eta g) <= f - c eta |g|^2; false for NaN
    if (!(f.loss(theta) <= x.loss - kDecrease * eta * slope)) continue;
    Move move = move_to(f, x, theta, eta);
    if (move.outcome == Move::Outcome::not_finite) continue;  // the gradient overflows before the loss
    move.shortened = halving > 0;
    if (move.outcome == Move::Outcome::moved) memory.numbers["step"] = eta;
    return move;
  }
  return {.outcome = Move::Outcome::stalled, .why = "no step along -grad f lowers the loss beyond rounding"};
}

}  // namespace basin
