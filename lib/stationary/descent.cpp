#include "basin/stationary/descent.h"

#include <algorithm>
#include <cmath>
#include <sstream>

#include "basin/linalg/block_krylov.h"

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

DescentStatus stopped(Reason reason, const Descent& run, double step, const std::string& why) {
  return {reason, "after " + std::to_string(run.step) + " steps: " + why, step};
}

}  // namespace

void StepsTaken::add(const Move& move) {
  const bool none = largest == 0;
  if (none) first = smallest = move.step, first_share = move.share;
  smallest = std::min(smallest, move.step), largest = std::max(largest, move.step);
  largest_share = std::max(largest_share, move.share);
  shortened += move.shortened ? 1 : 0;
}

void set_length(Move& move, const Vector<double>& from, const Vector<double>& to) {
  move.length = (to - from).stableNorm();  // squares of 1e200 overflow
  move.share = move.length / from.stableNorm();
}

Move move_to(Objective& f, Iterate& x, Vector<double> theta, double step) {
  Move move;
  move.step = step;
  set_length(move, x.theta, theta);
  if (move.length == 0) {
    move.outcome = Move::Outcome::stalled;
    move.why = "the step changes no digit of theta";
    return move;
  }
  std::optional<Iterate> next = f.at(std::move(theta));
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
  double step = 0;
  for (;;) {
    const double slope = run.at.gradient.stableNorm();
    const double smallest = stopping.gradient * stopping.gradient_scale;
    if (slope <= smallest)
      return stopped(Reason::gradient, run, step, comparison("|grad f|", slope, "<=", smallest));
    if (run.at.loss <= stopping.loss)
      return stopped(Reason::loss, run, step, comparison("f", run.at.loss, "<=", stopping.loss));
    if (run.step >= stopping.steps)
      return stopped(Reason::steps, run, step, comparison("|grad f|", slope, ">", smallest));
    const Move move = method.advance(f, run.at, run.memory);
    step = move.step;
    if (move.outcome != Move::Outcome::moved)
      return stopped(move.outcome == Move::Outcome::stalled ? Reason::stalled : Reason::not_finite, run, step,
                     move.why);
    ++run.step;
    run.taken.add(move);
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

bool above(double loss, double other) {
  return loss > other * (1 + 1e-14);
}

std::optional<Trial> descend_in_shorter_steps(Objective& f, const ShareOfStep& method, const Iterate& x,
                                              double tried, const Stopping& stopping) {
  constexpr int kQuarters = 12;
  f.at(x.theta);
  double share = std::min(0.25, natural_step(f).value_or(tried) / tried);
  for (int quarter = 0; quarter < kQuarters; ++quarter, share /= 4) {
    f.at(x.theta);
    const auto shorter = method(share);
    if (!shorter) break;
    f.at(x.theta);
    Trial trial{{x}, {}};
    trial.status = descend(f, *shorter, trial.run, stopping);
    if (trial.status.reason != Reason::not_finite && !above(trial.run.at.loss, x.loss)) return trial;
  }
  return std::nullopt;
}

}  // namespace basin
