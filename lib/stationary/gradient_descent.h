/// Gradient descent, its steps given or found by backtracking.
#pragma once

#include <optional>

#include "basin/stationary/descent.h"

namespace basin {

/// A step, and the largest loss that theory allows after it.
struct GuaranteedStep {
  double step;
  double loss_bound = std::numeric_limits<double>::infinity();
};

/// theta' = theta - eta g, with eta from a rule: a constant, or what a certificate allows at the point.
class GradientDescent final : public DescentMethod {
 public:
  using Rule = std::function<GuaranteedStep(const Iterate&)>;
  explicit GradientDescent(Rule rule) : rule_(std::move(rule)) {}
  explicit GradientDescent(double eta) : rule_([eta](const Iterate&) { return GuaranteedStep{eta}; }) {}

  Move advance(Objective& f, Iterate& x, DescentMemory& memory) const override;

 private:
  Rule rule_;
};

/// The same with steps that follow the gradient flow theta' = -grad f (MATHEMATICS.md, "Following the flow"),
/// so that it ends where the flow does. eta is halved until
///
///     f' <= f - eta |g|^2 / 2        |g' - g| <= |g| / 10        eta |g| <= |theta| / 10
///
/// and doubled after ten steps in a row that none of them has shortened. The first eta is the one over which
/// g changes by a tenth of its size as far as the Hessian tells.
class FlowDescent final : public DescentMethod {
 public:
  Move advance(Objective& f, Iterate& x, DescentMemory& memory) const override;
};

/// The same with eta by backtracking until f falls by at least c eta |g|^2 (Armijo 1966; Nocedal and Wright,
/// Numerical Optimization, 2006, algorithm 3.1). Starts at twice the step accepted last; first at `first`, or
/// as FlowDescent.
class LineSearchDescent final : public DescentMethod {
 public:
  explicit LineSearchDescent(std::optional<double> first = {}) : first_(first) {}

  Move advance(Objective& f, Iterate& x, DescentMemory& memory) const override;

 private:
  std::optional<double> first_;
};

}  // namespace basin
