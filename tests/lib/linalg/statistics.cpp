#include "basin/linalg/statistics.h"

#include <catch2/catch.hpp>
#include <cmath>
#include <limits>

using namespace basin;

TEST_CASE("quantiles are linear between neighbours") {
  const std::vector<double> values = {1, 2, 4, 8, 16};
  CHECK(quantile(values, 0) == 1);
  CHECK(quantile(values, 0.5) == 4);
  CHECK(quantile(values, 1) == 16);
  CHECK(quantile(values, 0.05) == Approx(1.2));   // numpy.quantile
  CHECK(quantile(values, 0.95) == Approx(14.4));  // numpy.quantile
  CHECK(quantile({3}, 0.25) == 3);
  CHECK(std::isnan(quantile({}, 0.5)));
}

TEST_CASE("quantiles of values with infinities are no NaN") {
  CHECK(quantile({1, kInfinity, kInfinity, kInfinity}, 0.6) == kInfinity);
  CHECK(quantile({1, 2, kInfinity}, 0.5) == 2);
}

TEST_CASE("Wilson's interval") {
  // statsmodels.stats.proportion.proportion_confint(3, 10, method="wilson")
  CHECK(wilson_interval(3, 10).lower == Approx(0.10779127).epsilon(1e-6));
  CHECK(wilson_interval(3, 10).upper == Approx(0.60322185).epsilon(1e-6));
  CHECK(wilson_interval(0, 20).lower == 0);
  CHECK(wilson_interval(0, 20).upper == Approx(0.16112516).epsilon(1e-6));
  CHECK(wilson_interval(20, 20).lower == Approx(1 - 0.16112516).epsilon(1e-6));
  CHECK(wilson_interval(20, 20).upper == 1);
  CHECK(std::isnan(wilson_interval(0, 0).lower));
}
