#include "basin/linalg/linear_operator.h"

#include <catch2/catch.hpp>

#include "basin/linalg/combinators.h"
#include "support/check_operator.h"
#include "support/known_matrix.h"

using namespace basin;
using namespace basin::test;

TEST_CASE("assemble recovers a matrix, whatever its size against the block width") {
  for (const Index size : {1, 15, 16, 17, 40}) {
    Vectors<double> A = random_orthogonal(size, 3);
    A = (A + A.transpose()).eval();
    Index last = 0;
    const MatrixOperator op(A);
    CHECK(assemble(op, [&](Index done, Index total) {
            CHECK(done > last);
            CHECK(total == size);
            last = done;
          }) == A);
    CHECK(last == size);
    CHECK(op.products() == size);
  }
}

TEST_CASE("operators made of operators are operators") {
  for (const Index size : {1, 5, 40}) {
    const Vectors<double> Q = random_orthogonal(size, 4);
    Vectors<double> A = random_orthogonal(size, 5), B = random_orthogonal(size, 6);
    A = (A + A.transpose()).eval(), B = (B + B.transpose()).eval() / 3;
    const MatrixOperator a(A), b(B);
    check_operator(a, 2);
    check_operator(DifferenceOperator(a, b), 4);
    const Vectors<double> X = Q.leftCols((size + 1) / 2);
    const DeflatedOperator deflated(a, removal_of(X), 3);
    check_operator(deflated, 5);
    CHECK((assemble(deflated) * X - 3 * X).norm() <= 1e-13 * X.norm());
  }
}

TEST_CASE(
    "of several perturbed operators the product farthest from the operator's own is taken, for each vector "
    "by itself") {
  const Vectors<double> A = Vectors<double>::Identity(3, 3);
  Vectors<double> B = A, C = A;
  B(0, 0) += 1e-3, B(1, 1) += 1e-3;
  C(1, 1) -= 2e-3;
  const MatrixOperator a(A), b(B), c(C);
  Vectors<double> out(3, 3);
  FarthestPerturbed(a, {&b, &c}).apply(A, out);
  CHECK(out.col(0) == B.col(0));
  CHECK(out.col(1) == C.col(1));
  CHECK(out.col(2) == A.col(2));
  FarthestPerturbed(a, {&c}).apply(A, out);
  CHECK(out == C);
}
