#include "stationary/gradient_descent.h"

#include <catch2/catch.hpp>

#include "support/quadratic.h"

using namespace basin;
using namespace basin::test;

TEST_CASE("gradient descent on a quadratic contracts every eigenvector by 1 - eta lambda") {
  const Vector<double> lambda = Vector<double>::LinSpaced(5, 0.5, 8);
  Quadratic f(Quadratic::diagonal(lambda), Vector<double>::Zero(5));
  for (const double eta : {0.01, 1 / 8.0, 0.24}) {
    Descent run = start(f, Vector<double>::Ones(5));
    descend(f, GradientDescent(eta), run, {.steps = 40});
    const Vector<double> expected = (1 - eta * lambda.array()).pow(40);
    CHECK((run.at.theta - expected).norm() <= 1e-13 * expected.norm());
  }
}

TEST_CASE("the rule sees the point, and its bound is handed on") {
  Quadratic f(Quadratic::diagonal(Vector<double>::Ones(2)), Vector<double>::Zero(2));
  Descent run = start(f, Vector<double>::Ones(2));
  std::vector<double> lengths;
  const GradientDescent method([](const Point& x) { return GuaranteedStep{0.5, x.loss / 4}; });
  descend(f, method, run, {.steps = 3}, [&](const Descent& at, const Move& move) {
    CHECK(move.step == 0.5);
    CHECK(at.at.loss <= move.loss_bound * (1 + 1e-15));  // on this function it is exact
    CHECK(at.at.loss == Approx(move.loss_bound));
    lengths.push_back(move.length);
  });
  CHECK(lengths == std::vector<double>{std::sqrt(0.5), std::sqrt(0.5) / 2, std::sqrt(0.5) / 4});
}

TEST_CASE(
    "the line search takes steps that lower the loss enough, from too large and too small a first one") {
  for (const double first : {1e-6, 1.0, 1e6}) {
    Rosenbrock f;
    Vector<double> theta(2);
    theta << -1.2, 1;
    Descent run = start(f, theta);
    double loss = run.at.loss, slope = run.at.gradient.norm();
    descend(f, LineSearchDescent(first), run, {.steps = 500}, [&](const Descent& at, const Move& move) {
      CHECK(at.at.loss <= loss - 1e-4 * move.step * slope * slope);
      loss = at.at.loss, slope = at.at.gradient.norm();
    });
    CHECK(run.at.loss < 1);
  }
}
