#include "basin/stationary/gradient_norm.h"

#include <catch2/catch.hpp>

#include "support/cases.h"
#include "support/quadratic.h"

using namespace basin;
using namespace basin::test;

TEST_CASE("|grad f|^2 / 2 of a quadratic: value, gradient H g and products H H v in closed form") {
  Vector<double> d(3), b(3);
  d << 2, -1, 0.5;
  b << 1, 0, -1;
  Quadratic f(Quadratic::diagonal(d), b);
  GradientNorm phi(f);
  const Vector<double> theta = random_vectors(3, 1, 4).col(0), g = d.cwiseProduct(theta) - b;
  const std::optional<Iterate> x = phi.at(theta);
  REQUIRE(x);
  CHECK(x->loss == Approx(g.squaredNorm() / 2).epsilon(1e-14));
  CHECK((x->gradient - d.cwiseProduct(g)).norm() <= 1e-14 * g.norm());
  CHECK(phi.loss(theta) == Approx(x->loss).epsilon(1e-14));
  Vectors<double> HV(3, 2);
  const Vectors<double> V = random_vectors(3, 2, 5);
  phi.at(theta);
  phi.hessian(V, HV);
  CHECK((HV - d.cwiseAbs2().asDiagonal() * V).norm() <= 1e-14 * V.norm());
  // a saddle of f is a minimum of phi
  const Vector<double> saddle = b.cwiseQuotient(d);
  CHECK(phi.loss(saddle) <= 1e-30);
}

TEST_CASE("|grad f|^2 / 2 of a model is what differences of it say") {
  const auto kind = GENERATE(KernelKind::softmax, KernelKind::gaussian);
  const ModelPoint<double> point = make_instance({"gradient norm", 2, 3, 4, 1, 2, 2, kind});
  ModelObjective f(point);
  GradientNorm phi(f);
  const Vector<double> theta = point.theta(), v = random_vectors(theta.size(), 1, 6).col(0).normalized();
  const std::optional<Iterate> x = phi.at(theta);
  REQUIRE(x);
  const Vector<double> slope = central_difference(
      [&](double t) -> Vector<double> { return Vector<double>::Constant(1, phi.loss(theta + t * v)); }, 1e-3);
  CHECK(std::abs(slope[0] - x->gradient.dot(v)) <= 1e-8 * x->gradient.norm());
}
