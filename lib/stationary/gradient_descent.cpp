#include "stationary/gradient_descent.h"

namespace basin {
namespace {

// Nocedal and Wright's choice: hardly any decrease is asked for.
constexpr double kDecrease = 1e-4;
// Halvings that reach from any useful step to below the rounding of theta.
constexpr int kHalvings = 100;

}  // namespace

Move GradientDescent::advance(Objective& f, Point& x, DescentMemory& /*memory*/) const {
  const GuaranteedStep rule = rule_(x);
  Move move = move_to(f, x, x.theta - rule.step * x.gradient, rule.step);
  move.loss_bound = rule.loss_bound;
  return move;
}

Move LineSearchDescent::advance(Objective& f, Point& x, DescentMemory& memory) const {
  const auto last = memory.numbers.find("step");
  double eta = last == memory.numbers.end() ? first_ : 2 * last->second;
  const double slope = x.gradient.squaredNorm();
  for (int halving = 0; halving < kHalvings; ++halving, eta /= 2) {
    const Vector<double> theta = x.theta - eta * x.gradient;
    // f(theta - eta g) <= f - c eta |g|^2; false for NaN
    if (!(f.loss(theta) <= x.loss - kDecrease * eta * slope)) continue;
    Move move = move_to(f, x, theta, eta);
    if (move.outcome == Move::Outcome::not_finite) continue;  // the gradient overflows before the loss
    if (move.outcome == Move::Outcome::moved) memory.numbers["step"] = eta;
    return move;
  }
  return {.outcome = Move::Outcome::stalled, .why = "no step along -grad f lowers the loss beyond rounding"};
}

}  // namespace basin
