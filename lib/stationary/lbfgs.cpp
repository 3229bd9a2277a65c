#include "basin/stationary/lbfgs.h"

#include <cmath>

namespace basin {
namespace {

constexpr double kArmijo = 1e-4, kCurvature = 0.9;  // Nocedal and Wright's choices for quasi-Newton steps
constexpr int kBisections = 100;

/// H g for the inverse Hessian that the pairs imply; the oldest pair is first.
Vector<double> two_loop(const Vectors<double>& S, const Vectors<double>& Y, const Vector<double>& g) {
  Vector<double> q = g, alpha(S.cols());
  for (Index i = S.cols() - 1; i >= 0; --i) {
    alpha[i] = S.col(i).dot(q) / S.col(i).dot(Y.col(i));
    q -= alpha[i] * Y.col(i);
  }
  const auto s = S.rightCols<1>(), y = Y.rightCols<1>();
  q *= s.col(0).dot(y.col(0)) / y.squaredNorm();
  for (Index i = 0; i < S.cols(); ++i) q += (alpha[i] - Y.col(i).dot(q) / S.col(i).dot(Y.col(i))) * S.col(i);
  return q;
}

/// A point along p that satisfies the weak Wolfe conditions, if one is found, and its t.
std::optional<std::pair<Iterate, double>> wolfe_point(Objective& f, const Iterate& x,
                                                      const Vector<double>& p) {
  const double slope = x.gradient.dot(p), rounding = kLossRounding * std::abs(x.loss);
  double low = 0, high = HUGE_VAL, t = 1;
  for (int trial = 0; trial < kBisections; ++trial) {
    const Vector<double> theta = x.theta + t * p;
    const double loss = f.loss(theta);
    std::optional<Iterate> y;
    if (loss <= x.loss + rounding) y = f.at(theta);  // false for NaN
    const double slope_there = y ? y->gradient.dot(p) : 0;
    const bool falls = y && (loss <= x.loss + kArmijo * t * slope ||     //
                             slope_there <= (2 * kArmijo - 1) * slope);  // approximate Wolfe
    if (!falls)
      high = t;
    else if (slope_there < kCurvature * slope)
      low = t;
    else
      return std::pair(std::move(*y), t);
    t = std::isfinite(high) ? (low + high) / 2 : 2 * low;
  }
  return std::nullopt;
}

/// Minus the gradient, as far as the minimum of the quadratic model along it (the Cauchy point), or |theta|
/// where that has none; at most `longest`. f must have been asked for x last.
Vector<double> first_direction(Objective& f, const Iterate& x, double longest) {
  const double slope = x.gradient.stableNorm();
  const Vector<double> u = x.gradient / slope;
  Vectors<double> Hu(u.size(), 1);
  f.hessian(u, Hu);
  const double curvature = u.dot(Hu.col(0));
  return -std::min(longest, curvature > 0 ? slope / curvature : f.length(x.theta)) * u;
}

/// Adds a column at the end, and drops the first beyond `most`.
void push(Vectors<double>& block, const Vector<double>& column, Index most) {
  const Index kept = std::min(block.cols(), most - 1);
  Vectors<double> next(column.size(), kept + 1);
  next << block.rightCols(kept), column;
  block = std::move(next);
}

}  // namespace

Move Lbfgs::advance(Objective& f, Iterate& x, DescentMemory& memory) const {
  const Vectors<double> none(x.theta.size(), 0);
  Vectors<double> S = none, Y = none;
  if (memory.vectors.contains("s")) S = memory.vectors["s"], Y = memory.vectors["y"];
  for (;; S = none, Y = none, f.at(x.theta)) {  // at most twice: the second time without pairs
    const Vector<double> p =
        S.cols() > 0 ? Vector<double>(-two_loop(S, Y, x.gradient)) : first_direction(f, x, first_);
    auto found = wolfe_point(f, x, p);
    if (found && found->first.theta == x.theta) found.reset();
    if (found) {
      auto& [next, t] = *found;
      const Vector<double> s = next.theta - x.theta, y = next.gradient - x.gradient;
      if (s.dot(y) > 0) push(S, s, pairs_), push(Y, y, pairs_);  // rounding can make it 0
      memory.vectors["s"] = S, memory.vectors["y"] = Y;
      Move move;
      move.step = t;
      set_length(move, x.theta, next.theta);
      x = std::move(next);
      return move;
    }
    if (S.cols() == 0) break;
  }
  return {.outcome = Move::Outcome::stalled, .why = "no step lowers the loss or its slope beyond rounding"};
}

}  // namespace basin
