#include "basin/ntk/kernel_minimum.h"

#include <catch2/catch.hpp>

#include <cmath>

using namespace basin;

TEST_CASE("what is known of the ends gives one of four verdicts") {
  KernelMinimum k;
  k.lambda_max = k.largest_lower = k.largest_upper = 100;
  const auto with = [&](double lower, double value, double upper) {
    k.lower = lower, k.lambda_min = value, k.upper = upper;
    return k.definiteness();
  };
  CHECK(with(0, 0, 0) == Definiteness::singular);
  CHECK(with(0, 1e-3, 1) == Definiteness::undecided);
  CHECK(with(1e-20, 1e-3, 1) == Definiteness::in_theory);  // below eps 100
  CHECK(with(0.9e-3, 1e-3, 1.1e-3) == Definiteness::definite);
  CHECK(k.positive_definite());
  CHECK(k.condition_number() == Approx(1e5));
  CHECK(k.known_to(0.11));
  CHECK_FALSE(k.known_to(0.09));
  CHECK(to_string(k.definiteness()) == "positive definite");
  // a bound that underflows is positive still
  with(0, 0, 1);
  k.log10_underflow = -1000;
  CHECK(k.definiteness() == Definiteness::in_theory);
  CHECK(std::isinf(k.condition_number()));
}

TEST_CASE("lower bounds stay below what they are of, and are kept by their logarithm where they underflow") {
  CHECK(Below::of(1e-3).value == 1e-3);
  CHECK(Below::of(1e-3).log10 < -3);
  CHECK_FALSE(Below::of(0).positive());
  CHECK_FALSE(Below::of(-1).positive());
  CHECK_FALSE(Below::of(std::nan("")).positive());
  CHECK(Below::of_log10(-5).value < 1e-5);
  const Below tiny = Below::of_log10(-1000);
  CHECK((tiny.positive() && tiny.value == 0));
  CHECK(tiny < Below::of_log10(-999));
}
