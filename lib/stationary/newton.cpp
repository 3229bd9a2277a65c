#include "basin/stationary/newton.h"

#include <cmath>

namespace basin {
namespace {

constexpr double kAccept = 0.1;  // Nocedal and Wright: in [0, 1/4)
constexpr int kRadii = 100;

/// tau >= 0 with |z + tau d| = radius.
double to_boundary(const Vector<double>& z, const Vector<double>& d, double radius) {
  const double a = d.squaredNorm(), b = z.dot(d), c = (radius - z.norm()) * (radius + z.norm());
  const double root = std::sqrt(b * b + a * std::max(c, 0.0));
  return b > 0 ? std::max(c, 0.0) / (b + root) : (root - b) / a;  // without cancellation
}

}  // namespace

TrustRegionStep steihaug(Objective& f, const Iterate& x, double radius, double tolerance, Index most) {
  const Index P = x.theta.size();
  Vector<double> z = Vector<double>::Zero(P), Hz = z, r = x.gradient, d = -r, Hd(P);
  const auto done = [&](bool at_boundary) {
    return TrustRegionStep{z, -(x.gradient.dot(z) + z.dot(Hz) / 2), at_boundary};
  };
  const auto go_to_boundary = [&] {
    const double tau = to_boundary(z, d, radius);
    z += tau * d, Hz += tau * Hd;
    return done(true);
  };
  // Rounding may need more than P iterations, but the step is good long before.
  for (Index iteration = 0; iteration < std::min(2 * P, most) && r.norm() > tolerance; ++iteration) {
    f.hessian(d, Hd);
    const double curvature = d.dot(Hd);
    if (!(curvature > 0)) return go_to_boundary();
    const double alpha = r.squaredNorm() / curvature;
    if ((z + alpha * d).norm() >= radius) return go_to_boundary();
    z += alpha * d, Hz += alpha * Hd;
    const Vector<double> next = r + alpha * Hd;
    d = -next + (next.squaredNorm() / r.squaredNorm()) * d;
    r = next;
  }
  return done(false);
}

Move TrustRegionNewton::advance(Objective& f, Iterate& x, DescentMemory& memory) const {
  const auto last = memory.numbers.find("radius");
  const double length = f.length(x.theta), largest = reach_ * length;
  const double first_radius = std::isfinite(first_radius_) ? first_radius_ : length;
  double radius = std::min(largest, last == memory.numbers.end() ? first_radius : last->second);
  const double slope = x.gradient.stableNorm();
  const double first = memory.numbers.try_emplace("first slope", slope).first->second;
  const double tolerance = std::min(0.5, std::sqrt(slope / first)) * slope;
  for (int trial = 0; trial < kRadii; ++trial) {
    const TrustRegionStep step = steihaug(f, x, radius, tolerance, most_products_);
    const Vector<double> theta = x.theta + step.p;
    const double used = radius;
    bool accept = false;
    if (step.decrease <= kLossRounding * std::abs(x.loss)) {
      const auto there = f.at(theta);
      accept = there && there->gradient.norm() < slope;
      if (!accept)
        return {.outcome = Move::Outcome::stalled, .why = "neither loss nor gradient fall beyond rounding"};
    } else {
      const double ratio = (x.loss - f.loss(theta)) / step.decrease;
      if (!(ratio >= 0.25))  // also for NaN
        radius = step.p.norm() / 4;
      else if (ratio > 0.75 && step.at_boundary)
        radius = std::min(largest, 2 * radius);
      accept = ratio > kAccept;
    }
    if (!accept) continue;
    Move move = move_to(f, x, theta, used);
    if (move.outcome == Move::Outcome::moved) memory.numbers["radius"] = radius;
    if (move.outcome != Move::Outcome::not_finite) return move;
    f.at(x.theta);  // products at x again
    radius = used / 4;
  }
  return {.outcome = Move::Outcome::stalled, .why = "no trust region is small enough to lower the loss"};
}

}  // namespace basin
