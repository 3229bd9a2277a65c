#include "basin/linalg/triangular.h"

#include <catch2/catch.hpp>
#include <cmath>

#include "basin/linalg/dense.h"
#include "basin/linalg/errors.h"
#include "support/known_matrix.h"

using namespace basin;
using namespace basin::test;

namespace {

/// Upper triangular with these singular values.
Vectors<double> with_singular_values(const Vector<double>& values, std::uint64_t seed) {
  Vectors<double> A = random_orthogonal(values.size(), seed) * values.asDiagonal() *
                      random_orthogonal(values.size(), seed + 1).transpose();
  return triangular_factor(A);
}

}  // namespace

TEST_CASE("the smallest singular value is enclosed, also when it is 1e-10 of the largest") {
  const double condition = GENERATE(1e2, 1e6, 1e10);
  const Index n = GENERATE(2, 3, 5, 40, 200);
  Vector<double> values(n);
  for (Index i = 0; i < n; ++i)
    values[i] = 3 * std::pow(condition, -static_cast<double>(i) / static_cast<double>(n - 1));
  const auto found = smallest_singular_value(with_singular_values(values, 7));
  REQUIRE(found);
  CAPTURE(condition, n, found->value, found->lower, found->upper);
  const double stored = 50 * 1e-16 * values[0];  // the matrix as it is stored differs from the one we wanted
  CHECK(found->lower <= values[n - 1] + stored);
  CHECK(found->upper >= values[n - 1] - stored);
  CHECK(std::abs(found->value - values[n - 1]) <= 1e-9 * values[n - 1] + stored);
  // What is promised: the rounding of the inverse, and a Krylov space that stops at a residual of 1e-5.
  const double rounding = static_cast<double>(n) * 2.3e-16 * values.norm();
  CHECK(found->upper - found->lower <= 3 * rounding + 1e-4 * values[n - 1]);
}

TEST_CASE("what an inverse does not decide is not decided") {
  // As many small singular values as there are: the trace of the inverse proves nothing.
  Vector<double> flat = Vector<double>::LinSpaced(400, 1, 1.0001);
  CHECK_FALSE(smallest_singular_value(with_singular_values(flat, 1)));
  // Singular, exactly and to rounding.
  Vector<double> values = Vector<double>::LinSpaced(30, 2, 1);
  values[29] = 1e-16;
  CHECK_FALSE(smallest_singular_value(with_singular_values(values, 3)));
  Vectors<double> R = Vectors<double>::Identity(4, 4);
  R(2, 2) = 0;
  CHECK_FALSE(smallest_singular_value(R));
  CHECK_THROWS_AS(smallest_singular_value(Vectors<double>(2, 3)), InputError);
}

TEST_CASE("two equal smallest singular values are no obstacle") {
  Vector<double> values = Vector<double>::LinSpaced(60, 5, 1);
  values.tail(2).setConstant(1e-3);
  const auto found = smallest_singular_value(with_singular_values(values, 3));
  REQUIRE(found);
  CHECK(found->lower <= 1e-3 * (1 + 1e-12));
  CHECK(found->upper >= 1e-3 * (1 - 1e-12));
  CHECK(found->value == Approx(1e-3).epsilon(1e-9));
}

TEST_CASE("one number") {
  const auto found = smallest_singular_value(Vectors<double>::Constant(1, 1, -2.5));
  REQUIRE(found);
  CHECK(found->value == Approx(2.5).epsilon(1e-15));
}
