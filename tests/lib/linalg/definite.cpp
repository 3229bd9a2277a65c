#include "basin/linalg/definite.h"

#include <catch2/catch.hpp>
#include <cmath>

#include "basin/linalg/errors.h"
#include "support/known_matrix.h"

using namespace basin;
using namespace basin::test;

namespace {

Vectors<double> with_eigenvalues(const Vector<double>& values, std::uint64_t seed) {
  const Vectors<double> Q = random_orthogonal(values.size(), seed);
  const Vectors<double> A = Q * values.asDiagonal() * Q.transpose();
  return 0.5 * (A + A.transpose());
}

}  // namespace

TEST_CASE("extreme eigenvalues are enclosed, and tightly") {
  const double condition = GENERATE(1.0, 1e2, 1e6, 1e10);
  const Index n = GENERATE(1, 2, 3, 5, 40, 200);
  Vector<double> values(n);
  for (Index i = 0; i < n; ++i)
    values[i] =
        3 * std::pow(condition, -static_cast<double>(i) / static_cast<double>(std::max<Index>(1, n - 1)));
  const DefiniteEigenvalues found = definite_eigenvalues(with_eigenvalues(values, 7));
  CAPTURE(condition, n, found.smallest.value, found.smallest.lower, found.smallest.upper);
  // The matrix as it is stored differs from the one we wanted by some eps |A|.
  const double stored = 50 * 1e-16 * values[0];
  CHECK(found.definite);
  CHECK(found.smallest.lower <= values[n - 1] + stored);
  CHECK(found.smallest.upper >= values[n - 1] - stored);
  CHECK(found.largest.lower <= values[0] + stored);
  CHECK(found.largest.upper >= values[0] - stored);
  const double width = 1e-5 * values[n - 1] + 20 * static_cast<double>((n + 2) * n) * 2.3e-16 * values[0];
  CHECK(found.smallest.upper - found.smallest.lower <= width);
  CHECK(std::abs(found.smallest.value - values[n - 1]) <= width);
  CHECK(found.largest.value == Approx(values[0]).epsilon(1e-8));
  CHECK(found.largest.upper <= values[0] * (1 + 2e-4));
}

TEST_CASE("repeated and clustered smallest eigenvalues do not mislead") {
  Vector<double> values = Vector<double>::Constant(60, 1.0);
  values.tail(20).setConstant(1e-3);
  values[59] = 1e-3 * (1 - 1e-7);
  const DefiniteEigenvalues found = definite_eigenvalues(with_eigenvalues(values, 3));
  CHECK(found.smallest.lower <= values[59]);
  CHECK(found.smallest.upper >= values[59]);
  CHECK(found.smallest.value == Approx(1e-3).epsilon(1e-6));
}

TEST_CASE("matrices that are not definite are not called so") {
  for (const double smallest : {0.0, -1e-3, -1e-17, 1e-18}) {
    Vector<double> values = Vector<double>::LinSpaced(30, 1, 2);
    values[4] = smallest;
    const DefiniteEigenvalues found = definite_eigenvalues(with_eigenvalues(values, 5));
    CAPTURE(smallest);
    CHECK_FALSE(found.definite);
    CHECK(found.smallest.lower <= 0);
    CHECK(found.smallest.upper >= smallest);
    if (smallest > -1e-10) CHECK(found.smallest.upper <= 1e-12);  // rounding, some n^2 eps |A|
  }
  CHECK_FALSE(definite_eigenvalues(Vectors<double>::Zero(3, 3)).definite);
  CHECK_THROWS_AS(definite_eigenvalues(Vectors<double>(2, 3)), InputError);
}

TEST_CASE("squares of the matrix may neither underflow nor overflow") {
  const Vector<double> values = Vector<double>::LinSpaced(20, 2, 1);
  const Vectors<double> A = with_eigenvalues(values, 9);
  const DefiniteEigenvalues expected = definite_eigenvalues(A);
  for (const int exponent : {-900, -500, 500, 900}) {
    const double scale = std::ldexp(1.0, exponent);
    const DefiniteEigenvalues found = definite_eigenvalues(A * scale);
    CAPTURE(exponent);
    CHECK(found.definite);
    CHECK(found.smallest.lower == expected.smallest.lower * scale);
    CHECK(found.largest.upper == expected.largest.upper * scale);
  }
  const DefiniteEigenvalues subnormal = definite_eigenvalues(A * 1e-310);
  CHECK(subnormal.largest.upper >= 2e-310 * (1 - 1e-6));
  CHECK(subnormal.smallest.lower <= 1e-310 * (1 + 1e-6));
}
