#include "stationary/descent.h"

#include <cmath>
#include <sstream>

#include "linalg/block_krylov.h"

namespace basin {
namespace {

using Reason = DescentStatus::Reason;

std::string digits(double value) {
  std::ostringstream out;
  out.precision(3);
  out << value;
  return out.str();
}

std::string comparison(const std::string& what, double value, const std::string& sign, double limit) {
  return what + " = " + digits(value) + " " + sign + " " + digits(limit);
}

DescentStatus stopped(Reason reason, const Descent& run, const std::string& why) {
  return {reason, "after " + std::to_string(run.step) + " steps: " + why};
}

}  // namespace

Move move_to(Objective& f, Point& x, Vector<double> theta, double step) {
  Move move;
  move.step = step;
  move.length = (theta - x.theta).norm();
  if (move.length == 0) {
    move.outcome = Move::Outcome::stalled;
    move.why = "the step changes no digit of theta";
    return move;
  }
  std::optional<Point> next = f.at(std::move(theta));
  if (!next) {
    move.outcome = Move::Outcome::not_finite;
    move.why = "a step of length " + digits(move.length) + " leads to where loss or gradient overflow";
    return move;
  }
  x = std::move(*next);
  return move;
}

DescentStatus descend(Objective& f, const DescentMethod& method, Descent& run, const Stopping& stopping,
                      const AfterStep& after) {
  for (;;) {
    const double slope = run.at.gradient.norm();
    if (slope <= stopping.gradient)
      return stopped(Reason::gradient, run, comparison("|grad f|", slope, "<=", stopping.gradient));
    if (run.at.loss <= stopping.loss)
      return stopped(Reason::loss, run, comparison("f", run.at.loss, "<=", stopping.loss));
    if (run.step >= stopping.steps)
      return stopped(Reason::steps, run, comparison("|grad f|", slope, ">", stopping.gradient));
    const Move move = method.advance(f, run.at, run.memory);
    if (move.outcome != Move::Outcome::moved)
      return stopped(move.outcome == Move::Outcome::stalled ? Reason::stalled : Reason::not_finite, run,
                     move.why);
    ++run.step;
    if (after) after(run, move);
  }
}

namespace {

/// The largest eigenvalue of sign * H.
double largest_curvature(Objective& f, double sign) {
  const auto product = [&](const Vectors<double>& V) {
    Vectors<double> HV(V.rows(), V.cols());
    f.hessian(V, HV);
    return Vectors<double>(sign * HV);
  };
  return largest_ritz_pairs(f.size(), 0, product).values[0];
}

}  // namespace

double largest_curvature(Objective& f) {
  return largest_curvature(f, 1);
}

std::optional<double> natural_step(Objective& f) {
  double curvature = largest_curvature(f);
  if (!(curvature > 0)) curvature = largest_curvature(f, -1);
  if (!(curvature > 0)) return std::nullopt;
  return 1 / curvature;
}

}  // namespace basin
