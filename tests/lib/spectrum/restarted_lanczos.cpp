#include "basin/spectrum/restarted_lanczos.h"

#include <catch2/catch.hpp>

#include "basin/linalg/errors.h"
#include "basin/linalg/sums.h"
#include "support/known_matrix.h"

using namespace basin;
using namespace basin::test;

namespace {

using Columns = std::vector<Index>;

Vectors<double> start_vectors(Index rows, Index cols, std::uint64_t seed) {
  Vectors<double> V(rows, cols);
  Random(seed, "normal").fill_normal(V);
  return V;
}

/// |A x - value x| of each column.
Vector<double> residuals_of(const SelfAdjointOperator& A, const Vectors<double>& X,
                            const Vector<double>& values) {
  Vectors<double> R(X.rows(), X.cols());
  A.apply(X, R);
  for (Index i = 0; i < X.cols(); ++i)
    for (Index row = 0; row < X.rows(); ++row) R(row, i) -= values[i] * X(row, i);
  return norms(R);
}

/// How far the columns are from orthonormal.
double skew_of(const Vectors<double>& X) {
  return (gram(X, X) - Vectors<double>::Identity(X.cols(), X.cols())).norm();
}

/// Lanczos on an operator of known norm, with what its tests saw last.
struct LanczosRun {
  LanczosRun(const SelfAdjointOperator& A, double norm, const Wanted& wanted, Index vectors,
             Index max_restarts, double tolerance = 1e-11)
      : op(A, norm, count), lanczos(op, wanted, vectors) {
    ended = lanczos.solve(
        start_vectors(A.rows(), 1, 4),
        [&](const Vector<double>& v, const Vector<double>& r) {
          values = v, residuals = r;
          return r.maxCoeff() <= tolerance;
        },
        max_restarts);
  }
  Index counted = 0;
  std::function<void()> count = [this] { ++counted; };
  ScaledShift op;
  Lanczos lanczos;
  Vector<double> values, residuals;
  bool ended = false;
};

}  // namespace

TEST_CASE("the columns of the ends are each there once, and the space has room for them") {
  CHECK(end_columns({2, 1}, 5) == Columns{0, 1, 4});
  CHECK(end_columns({0, 2}, 5) == Columns{3, 4});
  CHECK(end_columns({2, 0}, 2) == Columns{0, 1});
  CHECK(end_columns({2, 2}, 3) == Columns{0, 1, 2});
  CHECK(end_columns({1, 1}, 1) == Columns{0});
  CHECK(end_columns({1, 1}, 0).empty());
  CHECK(least_krylov_size({1, 0}) == 24);
  CHECK(least_krylov_size({4, 4}) == 26);
  CHECK(krylov_size(1000, {1, 1}, 256) == 256);
  CHECK(krylov_size(300, {1, 1}, 256) == 150);
  CHECK(krylov_size(300, {60, 60}, 256) == 250);
  CHECK(krylov_size(1000, {1, 1}, 3) == 24);
}

TEST_CASE("Ritz pairs in a span are those of the compression to it, whatever its basis") {
  const double scale = GENERATE(1e-150, 1.0, 1e150);
  const Index n = 40, k = 7;
  const MatrixOperator A(Vector<double>(scale * Vector<double>::LinSpaced(n, -1, 2)), 3);
  Vectors<double> Z = start_vectors(n, k, 1);
  for (Index row = 0; row < n; ++row) Z(row, 2) += 1e6 * Z(row, 1);  // far from orthogonal
  const EndPairs found = ritz_pairs(A, Z, {2, 3});
  CHECK(A.products() == k);
  REQUIRE(found.vectors.cols() == 5);
  const Vectors<double> Q = singular_pairs(Z).left;
  Vectors<double> AQ(n, k);
  A.apply(Q, AQ);
  const Vector<double> expected = symmetric_eigen(gram(Q, AQ), false).values;
  CHECK(skew_of(found.vectors) <= 1e-14 * n);
  const Vector<double> residuals = residuals_of(A, found.vectors, found.values),
                       inside = norms(gram(Q, found.vectors));
  for (Index i = 0; i < 5; ++i) {
    CHECK(std::abs(found.values[i] - expected[i < 2 ? i : k - 5 + i]) <= 1e-9 * scale);  // Z's condition
    CHECK(std::abs(residuals[i] - found.residuals[i]) <= 1e-13 * scale);
    CHECK(std::abs(inside[i] - 1) <= 1e-12);
  }
  // Of one vector: its Rayleigh quotient.
  const Vectors<double> z = start_vectors(n, 1, 2);
  Vectors<double> Az(n, 1);
  A.apply(z, Az);
  CHECK(ritz_pairs(A, z, {0, 1}).values[0] == Approx(gram(z, Az)(0, 0) / gram(z, z)(0, 0)).epsilon(1e-12));
  Vectors<double> broken = Vectors<double>::Identity(4, 4);
  broken(1, 2) = kInfinity;
  CHECK_THROWS_AS(ritz_pairs(MatrixOperator(broken), start_vectors(4, 2, 1), {1, 1}), WorkError);
}

TEST_CASE("what is multiplied by is A / s + 2 I, counted, and refused where it is not finite") {
  const double scale = GENERATE(1e-200, 1.0, 1e200);
  const MatrixOperator A(Vector<double>(scale * Vector<double>::LinSpaced(6, -3, 2)));
  Index counted = 0;
  const std::function<void()> count = [&] { ++counted; };
  const ScaledShift op(A, 3 * scale, count);
  CHECK(op.rows() == 6);
  CHECK(op.cols() == 6);
  const Vectors<double> x = start_vectors(6, 1, 6);
  Vectors<double> y = Vectors<double>::Constant(6, 1, kNaN);
  op.perform_op(x.data(), y.data());
  Vectors<double> Ax(6, 1);
  A.apply(x, Ax);
  for (Index i = 0; i < 6; ++i) CHECK(y(i, 0) == Approx(Ax(i, 0) / (3 * scale) + 2 * x(i, 0)).epsilon(1e-14));
  CHECK(counted == 1);
  const MatrixOperator broken(Vectors<double>(Vectors<double>::Constant(6, 6, kNaN)));
  const ScaledShift bad(broken, 1, count);
  CHECK_THROWS_AS(bad.perform_op(x.data(), y.data()), WorkError);
}

TEST_CASE("both ends with and without restarts, at any scale; estimates are of the vectors that are given") {
  const double scale = GENERATE(1e-150, 1.0, 1e150), tolerance = GENERATE(1e-3, 1e-11);
  const Index vectors = GENERATE(24, 120), n = 240;
  CAPTURE(scale, tolerance, vectors);
  Vector<double> d = Vector<double>::LinSpaced(n, -0.4, 0.5);
  d.head(3) << -1, -0.8, -0.6;
  d.tail(2) << 0.7, 0.9;
  const MatrixOperator A(Vector<double>(scale * d), 2);
  const Wanted wanted = {3, 2};
  const LanczosRun run(A, scale, wanted, vectors, 100, tolerance);
  CHECK(run.ended);
  if (tolerance == 1e-11) CHECK((run.lanczos.restarts() > 0) == (vectors == 24));
  CHECK(run.counted == A.products());
  const Vectors<double> X = run.lanczos.ritz_vectors();
  REQUIRE(X.cols() == 5);
  CHECK(skew_of(X) <= 1e-12);
  const Vector<double> residuals = residuals_of(A, X, scale * run.values);
  for (Index i = 0; i < 5; ++i) {
    const double expected = d[i < 3 ? i : n - 5 + i];
    const double residual = run.residuals[i];  // of A / s, whose gaps are 0.2
    CHECK(std::abs(run.values[i] - expected) <= 6 * residual * residual + 1e-12);
    CHECK(std::abs(residuals[i] / scale - residual) <= 1e-12);
  }
}

TEST_CASE("one end alone, and a search cut short that gives what it has") {
  const Index n = 400;
  const Vector<double> d = Vector<double>::LinSpaced(n, -1, 1);  // no gaps to speak of
  const MatrixOperator A(d, 7);
  for (const Wanted& wanted : {Wanted{2, 0}, Wanted{0, 2}}) {
    const LanczosRun cut(A, 1, wanted, 24, 3);
    CHECK_FALSE(cut.ended);
    CHECK(cut.lanczos.restarts() == 3);
    CHECK(cut.lanczos.ritz_vectors().cols() == 2);
    // Ritz values lie inside the spectrum, each within its residual of an eigenvalue.
    const double outermost = wanted.smallest > 0 ? cut.values[0] : -cut.values[1];
    CHECK(outermost >= -1 - 1e-13);
    CHECK(outermost <= -0.99);
    for (Index i = 0; i < 2; ++i) {
      CHECK(cut.residuals[i] > 1e-11);
      CHECK((d.array() - cut.values[i]).abs().minCoeff() <= cut.residuals[i] + 1e-13);
    }
    // Restarts keep what is at that end: the value is the better the more of them there are.
    const LanczosRun more(A, 1, wanted, 24, 30);
    const double later = wanted.smallest > 0 ? more.values[0] : -more.values[1];
    CHECK(later < outermost);
    CHECK(later <= -1 + 1e-6);
  }
}

TEST_CASE("the null space is in reach, and spaces of few eigenvalues are gone through") {
  // One zero under a bulk far above it: multiplied by A alone, a start vector would lose it.
  Vector<double> d = Vector<double>::LinSpaced(100, 0.5, 1);
  d[0] = 0;
  const LanczosRun zero(MatrixOperator(d, 4), 1, {1, 0}, 50, 5);
  CHECK(zero.ended);
  CHECK(std::abs(zero.values[0]) <= 1e-12);
  // Three eigenvalues: each at the end has its place, and nothing is made up beyond them.
  for (Index i = 0; i < 100; ++i) d[i] = i < 30 ? -0.5 : i < 70 ? 0 : 1;
  const LanczosRun few(MatrixOperator(d, 5), 1, {1, 1}, 24, 5);
  CHECK(few.ended);
  CHECK(std::abs(few.values[0] + 0.5) <= 1e-10);
  CHECK(std::abs(few.values[1] - 1) <= 1e-10);
}
