#include "basin/linalg/krylov.h"

#include <catch2/catch.hpp>

#include "basin/linalg/errors.h"
#include "support/known_matrix.h"

using namespace basin;
using namespace basin::test;

TEST_CASE("a Krylov space has an orthonormal basis, the operator's projection, and room for what was asked") {
  const Index block = GENERATE(1, 3);
  const Vector<double> values = Vector<double>::LinSpaced(60, -1, 1);
  const Vectors<double> Q = random_orthogonal(60, 2), A = Q * values.asDiagonal() * Q.transpose();
  const MatrixOperator op(A);
  KrylovSpace space(op, random_orthogonal(60, 3).leftCols(block), 24);
  while (space.expand()) continue;
  CHECK(space.size() <= 24);
  CHECK(space.size() >= 24 - block);
  CHECK(space.products() == op.products());
  CHECK_FALSE(space.exhausted());
  const Vectors<double> V = space.basis();
  CHECK((V.transpose() * V - Vectors<double>::Identity(V.cols(), V.cols())).norm() <= 1e-13);
  CHECK((V.transpose() * A * V - space.projected()).norm() <= 1e-13);
}

TEST_CASE("a Krylov space of few eigenvalues is exhausted, and holds them") {
  Vector<double> values = Vector<double>::Zero(30);
  values.tail(4) << 1, 2, 2, 5;
  const Vectors<double> Q = random_orthogonal(30, 4);
  const MatrixOperator op(Vectors<double>(Q * values.asDiagonal() * Q.transpose()));
  KrylovSpace space(op, random_orthogonal(30, 5).leftCols(2), 30);
  while (space.expand()) continue;
  CHECK(space.exhausted());
  // two vectors in each of the eigenspaces 0 and 2, one in those of 1 and 5
  CHECK(space.size() == 6);
  const Vector<double> found = symmetric_eigen(space.projected(), false).values;
  CHECK((found - (Vector<double>(6) << 0, 0, 1, 2, 2, 5).finished()).norm() <= 1e-13 * 5);
}

TEST_CASE("dependent start vectors are dropped, products that are not finite refused") {
  const MatrixOperator op(Vectors<double>(Vectors<double>::Identity(10, 10)));
  const Vectors<double> same = Vectors<double>::Ones(10, 3);
  KrylovSpace space(op, same, 10);
  while (space.expand()) continue;
  CHECK(space.size() == 1);
  CHECK(space.exhausted());
  Vectors<double> nan = Vectors<double>::Identity(4, 4);
  nan(2, 2) = kNaN;
  const MatrixOperator broken(nan);
  KrylovSpace none(broken, Vectors<double>::Ones(4, 1), 4);
  CHECK_THROWS_AS(none.expand(), WorkError);
}
