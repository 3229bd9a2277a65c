#include "basin/linalg/combinators.h"

#include <catch2/catch.hpp>

#include "basin/linalg/errors.h"
#include "basin/linalg/random.h"
#include "support/check_operator.h"
#include "support/known_matrix.h"

using namespace basin;
using namespace basin::test;

namespace {

using Dense = MatrixOperator;

Vectors<double> symmetric(Index n, std::uint64_t seed) {
  Vectors<double> A(n, n);
  Random(seed, "combinators").fill_normal(A);
  return A + A.transpose();
}

Vectors<double> product(const SelfAdjointOperator& A, const Vectors<double>& V) {
  Vectors<double> out(A.rows(), V.cols());
  A.apply(V, out);
  return out;
}

}  // namespace

TEST_CASE("differences, deflation and the farthest of several are what their formulas say") {
  constexpr Index n = 12;
  const Vectors<double> A = symmetric(n, 1), B = symmetric(n, 2), V = symmetric(n, 3).leftCols(3);
  const Dense a(A), b(B);
  const DifferenceOperator difference(a, b);
  check_operator(difference, (A - B).norm());
  CHECK((product(difference, V) - (A - B) * V).norm() <= 1e-14 * V.norm() * A.norm());
  CHECK_THROWS_AS(DifferenceOperator(a, Dense(symmetric(n + 1, 4))), InputError);

  const Vectors<double> X = random_orthogonal(n, 5).leftCols(4);
  const DeflatedOperator deflated(a, removal_of(X), 7);
  check_operator(deflated, A.norm());
  const Vectors<double> rest = Vectors<double>::Identity(n, n) - X * X.transpose();
  CHECK((product(deflated, V) - (rest * A * rest * V + 7 * X * (X.transpose() * V))).norm() <=
        1e-13 * A.norm() * V.norm());
  CHECK((product(deflated, X) - 7 * X).norm() <= 1e-13 * A.norm());
  // removal leaves rounding alone, and what is orthogonal as it is
  Vectors<double> W = 1e8 * X;
  removal_of(X)(W);
  CHECK(W.norm() <= 1e-14 * 1e8);

  const Dense near(Vectors<double>(A + 1e-9 * B)), far(Vectors<double>(A - 3e-9 * B));
  const FarthestPerturbed farthest(a, {&near, &far});
  CHECK(product(farthest, V) == product(far, V));
}

TEST_CASE("a diagonal block is that of the matrix") {
  constexpr Index n = 9;
  const Vectors<double> A = symmetric(n, 7), V = symmetric(n, 8).topRows(4).leftCols(3);
  const Dense a(A);
  const DiagonalBlock block(a, 2, 4);
  check_operator(block, A.norm());
  CHECK((product(block, V) - A.block(2, 2, 4, 4) * V).norm() <= 1e-14 * V.norm() * A.norm());
  CHECK(product(DiagonalBlock(a, 0, n), V.replicate(3, 1).topRows(n)) ==
        product(a, V.replicate(3, 1).topRows(n)));
  CHECK(product(DiagonalBlock(a, n - 1, 1), V.topRows(1)).isApprox(A(n - 1, n - 1) * V.topRows(1), 1e-14));
  for (const auto& [first, size] : {std::pair<Index, Index>{-1, 2}, {0, 0}, {6, 4}})
    CHECK_THROWS_AS(DiagonalBlock(a, first, size), InputError);
}
