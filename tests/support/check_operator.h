/// Holds any operator to what solvers assume of it (linalg/linear_operator.h).
#pragma once

#include <catch2/catch.hpp>

#include "basin/linalg/errors.h"
#include "basin/linalg/linear_operator.h"
#include "basin/linalg/random.h"

namespace basin::test {

/// Tests, with random vectors: results are overwritten; a block of vectors gives what its columns give one by
/// one; A (a v + w) = a A v + A w; <u, A v> = <A^T u, v>; products are counted; shapes that do not fit are
/// refused. The tolerance is relative to `scale`, a bound on |A v| for unit vectors v, say a norm of A;
/// products that differ by rounding only, in sums of some hundred terms.
inline void check_operator(const LinearOperator& A, double scale, double tolerance = 1e-12,
                           std::uint64_t seed = 1) {
  constexpr Index k = 3;
  Random random(seed, "check_operator");
  Vectors<double> V(A.cols(), k), U(A.rows(), k);
  for (auto* v : {&V, &U}) {
    random.fill_normal(*v);
    v->colwise().normalize();
  }
  const auto near = [&](const auto& a, const auto& b) { return (a - b).norm() <= tolerance * scale; };

  const Index before = A.products();
  Vectors<double> AV = Vectors<double>::Constant(A.rows(), k, kNaN), AtU(A.cols(), k);
  A.apply(V, AV);
  CHECK(A.products() == before + k);
  AtU.setConstant(kNaN);
  A.apply_adjoint(U, AtU);
  CHECK(A.products() == before + 2 * k);
  REQUIRE(AV.allFinite());
  REQUIRE(AtU.allFinite());
  // A random vector meets all of A; with a scale that is far too large, or zeros, anything would pass.
  CHECK(AV.norm() >= 1e-6 * scale);
  CHECK(AV.norm() <= 2 * k * scale);

  for (Index j = 0; j < k; ++j) {
    Vectors<double> one = Vectors<double>::Constant(A.rows(), 1, kNaN);
    A.apply(V.col(j), one);
    CHECK(near(one, AV.col(j)));
  }
  Vectors<double> sum(A.rows(), 1);
  A.apply(0.5 * V.col(0) + V.col(1), sum);
  CHECK(near(sum, 0.5 * AV.col(0) + AV.col(1)));
  const Vectors<double> left = U.transpose() * AV, right = AtU.transpose() * V;
  CHECK(near(left, right));

  Vectors<double> wide(A.cols() + 1, 1), out(A.rows(), 1);
  wide.setZero();
  CHECK_THROWS_AS(A.apply(wide, out), InputError);
}

}  // namespace basin::test
