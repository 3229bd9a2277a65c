#include "basin/linalg/dense.h"

#include <catch2/catch.hpp>

#include "support/known_matrix.h"

using namespace basin;
using namespace basin::test;

TEST_CASE("singular values, clustered, repeated and tiny ones too") {
  // Kronecker products A (x) I repeat every value; Eigen 3.4.0's BDCSVD failed on one in a hundred of such
  // factors.
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    const Index groups = 6, copies = 3, m = groups * copies;
    Vector<double> values(m);
    Random random(seed, "values");
    for (Index i = 0; i < m; ++i)
      values[i] = i % copies == 0 ? std::pow(10.0, -10 * random.uniform()) : values[i - 1] * (1 + 1e-15);
    const Vectors<double> A =
        random_orthogonal(2 * m, seed).leftCols(m) * values.asDiagonal() * random_orthogonal(m, seed);
    Vectors<double> work = A;
    const Vectors<double> R = triangular_factor(work);
    std::sort(values.begin(), values.end(), std::greater<>());
    const double tolerance = 1e-15 * static_cast<double>(m) * values[0];
    CHECK((singular_values(A) - values).cwiseAbs().maxCoeff() <= tolerance);
    CHECK((singular_values(R) - values).cwiseAbs().maxCoeff() <= tolerance);
  }
}

TEST_CASE("triangular factors of tall, wide and strided matrices keep A^T A") {
  for (const auto& [rows, cols] : {std::pair<Index, Index>{7, 3}, {3, 7}, {1, 1}, {5, 1}, {1, 4}}) {
    Vectors<double> all(rows + 4, cols);
    Random(1, "factor").fill_normal(all);
    const Vectors<double> A = all.middleRows(2, rows), above = all.topRows(2), below = all.bottomRows(2);
    const Vectors<double> R = triangular_factor(all.middleRows(2, rows));
    CHECK(R.rows() == std::min(rows, cols));
    CHECK(R.isUpperTriangular(0));
    CHECK((R.transpose() * R - A.transpose() * A).norm() <= 1e-14 * A.squaredNorm());
    CHECK(all.topRows(2) == above);
    CHECK(all.bottomRows(2) == below);
  }
}

TEST_CASE("symmetric eigenvalues and vectors") {
  const Vector<double> values{{-3, -1, -1, 0, 1e-9, 2, 2, 2}};
  const Vectors<double> Q = random_orthogonal(8, 1), A = Q * values.asDiagonal() * Q.transpose();
  const SymmetricEigen with = symmetric_eigen(A, true), without = symmetric_eigen(A, false);
  CHECK((with.values - values).norm() <= 1e-14);
  CHECK((without.values - values).norm() <= 1e-14);
  CHECK((A * with.vectors - with.vectors * with.values.asDiagonal()).norm() <= 1e-14);
  CHECK(without.vectors.size() == 0);
}
