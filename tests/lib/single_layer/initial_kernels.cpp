#include "basin/single_layer/initial_kernels.h"

#include <catch2/catch.hpp>

#include "basin/linalg/dense.h"
#include "basin/linalg/errors.h"
#include "support/cases.h"

using namespace basin;
using namespace basin::test;

TEST_CASE("an initialisation: loss, gradient, every kernel and their sum, the certificate") {
  Case c = {"measures", 2, 3, 6, 2, 3, 2};
  c.trainable = {"W_Q", "W_V"};
  const ModelPoint<double> point = make_instance(c);
  const Linearization<double> at = point.linearize();
  const InitialisationMeasures measured = measure_initialisation(point);
  CHECK(measured.loss == Approx(at.loss()));
  CHECK(measured.gradient_norm == Approx(at.gradient().norm()));
  REQUIRE(measured.kernels.size() == 3);
  CHECK(measured.kernels[0].minimum.name == "W_Q");
  CHECK(measured.kernels[1].minimum.name == "W_V");
  CHECK(measured.sum().minimum.name == "sum");
  const double sigma = singular_values(at.jacobian_transposed())[0];
  CHECK(measured.sum().minimum.lambda_max == Approx(sigma * sigma));
  for (const KernelAnalysis& k : measured.kernels) {
    CHECK(k.minimum.lower <= k.minimum.upper);
    CHECK_FALSE(k.conditions.conditions.empty());
  }
  CHECK(measured.certificate.margin == Approx(certificate_at(point).margin).epsilon(1e-6));
  // of another order of addition no number differs by more than rounding
  const InitialisationMeasures other = measure_initialisation(point, {"W_V", "W_Q"});
  CHECK(other.sum().minimum.lambda_min == Approx(measured.sum().minimum.lambda_min));
  CHECK(initialisation_bytes(c.spec(), c.N, c.trainable) > 8.0 * 12 * 12);
}

TEST_CASE("what overflows cannot be measured") {
  const Case c = {"overflow", 2, 2, 3, 1, 2, 1};
  ModelPoint<double> point = make_instance(c);
  point.weights *= 1e200;
  CHECK_THROWS_AS(measure_initialisation(point), WorkError);
}
