#include "basin/linalg/lobpcg.h"

#include <catch2/catch.hpp>
#include <cmath>

#include "basin/linalg/errors.h"
#include "support/known_matrix.h"

using namespace basin;
using namespace basin::test;

namespace {

Vectors<double> with_eigenvalues(const Vector<double>& values) {
  const Vectors<double> Q = random_orthogonal(values.size(), 4);
  return Q * values.asDiagonal() * Q.transpose();
}

void identity(VectorsRef<double>) {}

}  // namespace

TEST_CASE("the smallest eigenpair is found") {
  const Index n = GENERATE(1, 2, 7, 8, 9, 60, 300);
  Vector<double> values(n);
  for (Index i = 0; i < n; ++i) values[i] = 0.01 + std::pow(static_cast<double>(i), 1.5) * 0.01;
  const Vectors<double> matrix = with_eigenvalues(values);
  const MatrixOperator A(matrix);
  const SmallestPair found = smallest_pair(A, identity);
  CAPTURE(n, found.value, found.residual, found.status.products);
  CHECK(found.status.converged);
  CHECK(found.value >= values[0] * (1 - 1e-12));
  CHECK(found.value == Approx(values[0]).epsilon(1e-3));
  CHECK(found.vector.norm() == Approx(1));
  CHECK((matrix * found.vector - found.value * found.vector).norm() == Approx(found.residual).margin(1e-12));
  CHECK(found.status.products == A.products());
}

TEST_CASE("a good preconditioner saves most products, and a repeated eigenvalue does no harm") {
  Vector<double> values = Vector<double>::LinSpaced(400, 1, 1e5);
  values.head(3).setOnes();
  const Vectors<double> matrix = with_eigenvalues(values);
  const MatrixOperator A(matrix), B(matrix);
  const Vectors<double> Q = random_orthogonal(400, 4);
  const Vector<double> inverse = (values.array() * (1.2 + values.array().sin() * 0.5)).inverse();
  const SmallestPair plain = smallest_pair(A, identity);
  const SmallestPair helped = smallest_pair(
      B, [&](VectorsRef<double> V) { V = (Q * inverse.asDiagonal() * Q.transpose() * V).eval(); });
  CHECK(plain.value == Approx(1).epsilon(2e-3));
  CHECK(helped.value == Approx(1).epsilon(2e-3));
  CHECK(2 * helped.status.products < plain.status.products);
}

TEST_CASE("what has not converged says so, and is an upper bound") {
  Vector<double> values = Vector<double>::LinSpaced(300, 0, 20).array().exp();
  const MatrixOperator A(with_eigenvalues(values));
  const SmallestPair found = smallest_pair(A, identity, {.tolerance = 1e-8, .max_products = 40});
  CHECK_FALSE(found.status.converged);
  CHECK_THAT(found.status.text, Catch::Matchers::StartsWith("the residual is above the tolerance after "));
  CHECK(found.value >= values[0]);
  CHECK(found.status.products >= 40);
  CHECK(found.status.products <= 48);
  const Vectors<double> nan = Vectors<double>::Constant(3, 3, std::nan(""));
  CHECK_THROWS_AS(smallest_pair(MatrixOperator(nan), identity), WorkError);
}
