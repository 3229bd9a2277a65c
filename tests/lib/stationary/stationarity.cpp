#include "basin/stationary/stationarity.h"

#include <catch2/catch.hpp>

#include "basin/linalg/dense.h"
#include "basin/single_layer/theory.h"
#include "support/cases.h"

using namespace basin;
using namespace basin::test;

TEST_CASE("what tells whether a point is stationary has its sizes") {
  const ModelPoint<double> point = make_instance({"stationarity", 3, 4, 5, 2, 3, 2});
  const Linearization<double> at = point.linearize();
  const Stationarity s = stationarity_at(at, *theory_of(point), GaussNewtonOperator(at));
  const Rounding rounding = rounding_at(at, *theory_of(point));
  CHECK(s.gradient == at.gradient().stableNorm());
  CHECK(s.gradient_error == rounding.gradient);
  CHECK(s.loss == at.loss());
  CHECK(s.loss_error == rounding.loss);
  CHECK(s.residual == at.residual().stableNorm());
  CHECK(s.targets == point.data->Y.stableNorm());
  CHECK(s.theta == point.theta().stableNorm());
  CHECK(s.quadratic);
  CHECK(s.attainable);
  const double most = singular_values(at.jacobian_transposed())[0] * s.residual;
  CHECK(s.largest_gradient == Approx(most).epsilon(0.1));
  CHECK(s.gradient <= most);

  const Stationarity allowed = stationarity_at(at, *theory_of(point), GaussNewtonOperator(at, 0.5));
  CHECK(allowed.gradient_error == s.gradient_error + 0.5);
  CHECK(allowed.loss_error == s.loss_error + 0.5);
}

TEST_CASE("at zero loss the gradient is that of rounding") {
  ModelPoint<double> point = make_instance({"zero loss", 3, 4, 5, 2, 3, 2});
  Data<double> data = *point.data;
  data.Y = point.linearize().outputs();
  point.data = std::make_shared<Data<double>>(std::move(data));
  const Linearization<double> at = point.linearize();
  const Stationarity s = stationarity_at(at, *theory_of(point), GaussNewtonOperator(at));
  CHECK(s.residual <= s.residual_error);
  CHECK(s.gradient <= s.gradient_error);
}
