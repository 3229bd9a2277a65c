#include "basin/stationary/newton.h"

#include <catch2/catch.hpp>

#include "basin/linalg/dense.h"
#include "support/cases.h"
#include "support/quadratic.h"

using namespace basin;
using namespace basin::test;

TEST_CASE("inside a large region Steihaug's step is Newton's, in a small one it ends at the boundary") {
  const Vectors<double> R = random_vectors(7, 7, 1), A = R * R.transpose() + Vectors<double>::Identity(7, 7);
  const Vector<double> minimum = random_vectors(7, 1, 2);
  Quadratic f(A, A * minimum);
  const Iterate x = *f.at(Vector<double>::Zero(7));
  const TrustRegionStep newton = steihaug(f, x, 1e3, 1e-12);
  CHECK_FALSE(newton.at_boundary);
  CHECK((newton.p - minimum).norm() <= 1e-10 * minimum.norm());
  CHECK(newton.decrease == Approx(x.loss - f.loss(newton.p)));

  const double radius = minimum.norm() / 10;
  const TrustRegionStep short_step = steihaug(f, x, radius, 1e-12);
  CHECK(short_step.at_boundary);
  CHECK(short_step.p.norm() == Approx(radius).epsilon(1e-14));
  CHECK(short_step.decrease == Approx(x.loss - f.loss(short_step.p)));
  // at least the decrease of the Cauchy point (Nocedal and Wright, lemma 4.3)
  const double g = x.gradient.norm(), norm = symmetric_eigen(A, false).values[6];
  CHECK(short_step.decrease >= g / 2 * std::min(radius, g / norm));
}

TEST_CASE("negative curvature is followed to the boundary") {
  Vector<double> lambda = Vector<double>::LinSpaced(5, -2, 6);
  Quadratic f(Quadratic::diagonal(lambda), Vector<double>::Constant(5, 1));
  const Iterate x = *f.at(Vector<double>::Zero(5));
  const TrustRegionStep step = steihaug(f, x, 10, 1e-12);
  CHECK(step.at_boundary);
  CHECK(step.p.norm() == Approx(10).epsilon(1e-14));
  CHECK(step.decrease == Approx(x.loss - f.loss(step.p)));
  CHECK(step.decrease > 0);
}

TEST_CASE("Newton solves a quadratic within its tolerance, and Rosenbrock's function quadratically") {
  Rosenbrock f;
  Descent run = start(f, (Vector<double>(2) << -1.2, 1).finished());
  const DescentStatus status = descend(f, TrustRegionNewton(), run, {.gradient = 1e-13, .steps = 60});
  CAPTURE(status.text);
  CHECK(status.converged());
  CHECK((run.at.theta.array() - 1).abs().maxCoeff() <= 1e-14);
}

TEST_CASE("Newton polishes an attention model to a gradient at rounding level, at a positive loss") {
  for (const KernelKind kind : {KernelKind::softmax, KernelKind::gaussian}) {
    Case c = {"polished", 3, 4, 5, 2, 3, 2, kind};
    c.trainable = {"W_V", "W_O"};
    const ModelPoint<double> instance = make_instance(c);
    ModelObjective f(instance, std::size_t{1} << 20U);
    Descent run = start(f, instance.theta());
    const DescentStatus status = descend(f, TrustRegionNewton(), run, {.gradient = 1e-12, .steps = 500});
    CAPTURE(status.text, run.at.loss);
    CHECK(status.converged());
    CHECK(run.at.loss > 1e-3);
  }
}
