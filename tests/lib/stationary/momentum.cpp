#include "basin/stationary/momentum.h"

#include <catch2/catch.hpp>

#include "support/quadratic.h"

using namespace basin;
using namespace basin::test;

TEST_CASE("with Polyak's parameters the heavy ball contracts at the rate of conjugate gradients") {
  // Polyak 1964: eta = (2 / (sqrt L + sqrt mu))^2, momentum q^2, asymptotic rate q = (sqrt L - sqrt mu) /
  // (sqrt L + sqrt mu)
  const double L = 100, mu = 1, root = std::sqrt(L) + std::sqrt(mu),
               q = (std::sqrt(L) - std::sqrt(mu)) / root;
  Quadratic f(Quadratic::diagonal(Vector<double>::LinSpaced(8, mu, L)), Vector<double>::Zero(8));
  Descent run = start(f, Vector<double>::Ones(8));
  const Index steps = 300;
  descend(f, Momentum(4 / (root * root), q * q), run, {.steps = steps});
  // a double root: the norm falls like t q^t
  const double rate =
      std::pow(run.at.theta.norm() / static_cast<double>(steps), 1 / static_cast<double>(steps));
  CHECK(rate == Approx(q).epsilon(0.01));
}
