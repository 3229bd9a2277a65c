#include "basin/stationary/adam.h"

#include <catch2/catch.hpp>

#include "support/quadratic.h"

using namespace basin;
using namespace basin::test;

TEST_CASE("Adam's first step has length eta in every parameter, whatever the scale of the gradient") {
  const Vector<double> lambda = (Vector<double>(3) << 1e-3, 1, 1e5).finished();
  Quadratic f(Quadratic::diagonal(lambda), Vector<double>::Zero(3));
  Descent run = start(f, Vector<double>::Ones(3));
  descend(f, Adam({.eta = 0.1, .epsilon = 1e-12}), run, {.steps = 1});
  CHECK((run.at.theta.array() - 0.9).abs().maxCoeff() <= 1e-9);
}
