#include "basin/linalg/random.h"

#include <catch2/catch.hpp>

using namespace basin;

TEST_CASE("streams are reproducible and independent of each other") {
  Random a(7, "W_Q"), again(7, "W_Q"), other(7, "W_K"), seed(8, "W_Q");
  const double first = a.normal();
  CHECK(first == again.normal());
  CHECK(first != other.normal());
  CHECK(first != seed.normal());
  CHECK(a.uniform() == again.uniform());
}

TEST_CASE("the numbers are the same on every platform") {
  // Written down once: published results depend on them.
  Random random(42, "reference");
  CHECK(random.normal() == 0.25845441882216602);
  CHECK(random.normal() == -1.0664249619448598);
  CHECK(random.uniform() == 0.65541311182637818);
}

TEST_CASE("normal and uniform draws have their moments") {
  const Index count = 200000;
  Vector<double> x(count), y(count);
  Random random(1, "moments");
  random.fill_normal(x);
  random.fill_uniform(y, -1, 3);
  // five standard errors
  const double root = std::sqrt(static_cast<double>(count));
  CHECK(std::abs(x.mean()) < 5 / root);
  CHECK(std::abs(x.squaredNorm() / count - 1) < 5 * std::sqrt(2.0) / root);
  CHECK(std::abs(x.array().pow(4).mean() - 3) < 5 * std::sqrt(96.0) / root);
  CHECK(std::abs(y.mean() - 1) < 5 * std::sqrt(16.0 / 12) / root);
  CHECK(y.minCoeff() >= -1);
  CHECK(y.maxCoeff() < 3);
}
