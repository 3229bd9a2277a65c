#include "basin/stationary/lbfgs.h"

#include <catch2/catch.hpp>

#include "basin/linalg/dense.h"
#include "support/cases.h"
#include "support/quadratic.h"

using namespace basin;
using namespace basin::test;

TEST_CASE("L-BFGS walks Rosenbrock's valley, a handful of steps a decimal") {
  for (const Index pairs : {1, 3, 10}) {
    Rosenbrock f;
    Descent run = start(f, (Vector<double>(2) << -1.2, 1).finished());
    const DescentStatus status = descend(f, Lbfgs(pairs), run, {.gradient = 1e-12, .steps = 2000});
    CAPTURE(pairs, status.text);
    CHECK(status.converged());
    CHECK((run.at.theta.array() - 1).abs().maxCoeff() <= 1e-11);
    CHECK(run.step <= (pairs == 1 ? 2000 : 100));
  }
}

TEST_CASE("every step satisfies the weak Wolfe conditions, and pairs keep s^T y positive") {
  const ModelPoint<double> instance = make_instance({"wolfe", 3, 4, 5, 2, 3, 2});
  ModelObjective f(instance);
  Descent run = start(f, instance.theta());
  Iterate before = run.at;
  descend(f, Lbfgs(5), run, {.steps = 60}, [&](const Descent& now, const Move& move) {
    const Vector<double> s = now.at.theta - before.theta;  // t p
    CHECK(s.norm() == Approx(move.length));
    CHECK(move.share == Approx(s.norm() / before.theta.norm()));
    const double slope = before.gradient.dot(s);
    CHECK(now.at.loss <= before.loss + 1e-4 * slope * (1 - 1e-9));
    CHECK(now.at.gradient.dot(s) >= 0.9 * slope * (1 + 1e-9));
    const Vectors<double>&S = now.memory.vectors.at("s"), &Y = now.memory.vectors.at("y");
    CHECK(S.cols() == std::min<Index>(5, now.step));
    CHECK((S.cwiseProduct(Y).colwise().sum().array() > 0).all());
    CHECK((S.rightCols<1>() - s).norm() == 0);
    before = now.at;
  });
}

TEST_CASE("where the loss has no digits left the gradient still falls to rounding") {
  // the loss at the minimum is 1e6, so a relative 1e-16 of it hides gradients up to 1e-5
  Vectors<double> A = Quadratic::diagonal(Vector<double>::LinSpaced(6, 1, 30));
  const Vector<double> b = A * Vector<double>::Constant(6, 150);
  Quadratic f(A, b);
  Descent run = start(f, Vector<double>::Zero(6));
  const DescentStatus status = descend(f, Lbfgs(), run, {.gradient = 1e-9, .steps = 500});
  CAPTURE(status.text);
  CHECK(std::abs(run.at.loss) > 1e5);
  CHECK(status.reason == DescentStatus::Reason::gradient);
}
