#include "common/command/numbers.h"

#include <catch2/catch.hpp>
#include <cmath>
#include <cstdlib>
#include <limits>

#include "basin/linalg/random.h"

using namespace basin;
using namespace basin::tools;

TEST_CASE("bounds are rounded to their safe side, in as few digits") {
  CHECK(number_below(0.02060875669, 4) == "0.0206");
  CHECK(number_above(0.02060875669, 4) == "0.02061");
  CHECK(number_below(0.00011456943, 4) == "0.0001145");
  CHECK(number_above(9.996, 3) == "10");
  CHECK(number_below(1.0004, 4) == "1");
  // The same as in pictures: tests/analysis/test_spectra.py.
  CHECK(number_above(-9.9312, 3) == "-9.93");
  CHECK(number_below(-9.9312, 3) == "-9.94");
  CHECK(number_above(-1.234e-05, 2) == "-1.2e-05");
  CHECK(number_below(-1.234e-05, 2) == "-1.3e-05");
  CHECK(number_above(1.231e-07, 3) == "1.24e-07");
  CHECK(number_below(1.239e-07, 3) == "1.23e-07");
  CHECK(number_above(0.1, 3) == "0.1");
  CHECK(number_above(-0.1, 3) == "-0.1");
  for (const double exact : {0.0, 0.5, 2.0, std::numeric_limits<double>::infinity()}) {
    CHECK(number_below(exact, 3) == number(exact, 3));
    CHECK(number_above(exact, 3) == number(exact, 3));
  }
  Random random(1, "bounds");
  for (int draw = 0; draw < 1000; ++draw) {
    const double value = std::pow(10.0, 600 * random.uniform() - 310);  // subnormal ones among them
    CAPTURE(value);
    CHECK(std::strtod(number_below(value, 3).c_str(), nullptr) <= value);
    CHECK(std::strtod(number_above(value, 3).c_str(), nullptr) >= value);
    CHECK(std::strtod(number_below(value, 3).c_str(), nullptr) >=
          0.98 * value - std::numeric_limits<double>::denorm_min());
    CHECK(std::strtod(number_below(-value, 3).c_str(), nullptr) <= -value);
    CHECK(std::strtod(number_above(-value, 3).c_str(), nullptr) >= -value);
  }
}

TEST_CASE("a value has as many digits as its error leaves") {
  CHECK(with_error(2.64998724612345, 8.13e-10) == "2.64998724612 +- 8.2e-10");
  CHECK(with_error(-1.57518412345, 0.0309) == "-1.57518 +- 0.031");
  CHECK(with_error(1.0 / 3, 0) == "0.3333333333 +- 3.4e-11");  // what is not printed is an error, too
  CHECK(with_error(0.5, 0) == "0.5 +- 0");
  CHECK(with_error(0.1, 1e-20) == "0.10000000000000001 +- 1e-20");  // never more than a double has
  CHECK(with_error(0, 1e-9) == "0 +- 1e-09");
  Random random(2, "errors");
  for (int draw = 0; draw < 1000; ++draw) {
    const double value = random.uniform(), error = std::pow(10.0, -12 * random.uniform());
    const std::string text = with_error(value, error);
    const double printed = std::strtod(text.c_str(), nullptr);
    CHECK(std::abs(printed - value) <= 0.1 * error);
    // All that was within the error of the value is within the printed one of the printed value.
    const double width = std::strtod(text.substr(text.find("+-") + 2).c_str(), nullptr);
    CHECK(std::abs(printed - value) + error <= width * (1 + 1e-14));
  }
}
