#include "basin/spectrum/counts.h"

#include <catch2/catch.hpp>

#include "basin/linalg/dense.h"
#include "basin/linalg/errors.h"
#include "support/known_matrix.h"
#include "support/restricted_curvature.h"

using namespace basin;
using namespace basin::test;

namespace {

const Removal kNothing = [](VectorsRef<double>) {};

/// 3 below -1e-6, 20 within 1e-12 (or 0), the rest positive, the smallest of them 1e-5.
Vector<double> spectrum(Index size, double scale) {
  Vector<double> values = Vector<double>::LinSpaced(size, 0.5, 2);
  for (Index i = 0; i < 20; ++i) values[i] = 0;
  values.segment(20, 3) << -1e-6, -0.3, -0.3;
  values[23] = 1e-5;
  return scale * values;
}

}  // namespace

TEST_CASE("counts by inertia are those of the spectrum, at any scale") {
  const double scale = GENERATE(1e-8, 1.0, 1e8);
  for (const Index size : {30, 150}) {
    const MatrixOperator A(spectrum(size, scale));
    const EigenvalueCounts counts = dense_counts(assembled_matrix(A), kNothing, 0);
    CHECK(counts.negative == 3);
    CHECK(counts.zero == 20);
    CHECK(counts.positive == size - 23);
    CHECK(counts.tolerance < 1e-11 * scale);
    CHECK(counts.exact());
    const EigenvalueCounts coarse = dense_counts(assembled_matrix(A), kNothing, 0, 1e-4 * scale);
    CHECK(coarse.negative == 2);
    CHECK(coarse.zero == 22);
    CHECK(coarse.tolerance == 1e-4 * scale);
    for (const double beyond : {3 * scale, 1e200, 1e308}) {  // whatever lies there is no overflow
      const EigenvalueCounts all = dense_counts(assembled_matrix(A), kNothing, 0, beyond);
      CHECK(all.zero == size);
      CHECK(all.tolerance == beyond);
    }
  }
}

TEST_CASE("semidefinite matrices have no negative eigenvalues, whatever their scale and rank") {
  const double scale = GENERATE(1e-8, 1e-3, 1.0, 1e8);
  const Index rank = GENERATE(0, 1, 40, 80);
  Vectors<double> B(80, rank);
  Random(3, "factor").fill_normal(B);
  const MatrixOperator A(Vectors<double>(scale * B * B.transpose()));
  const EigenvalueCounts counts = dense_counts(assembled_matrix(A), kNothing, 0);
  CHECK(counts.negative == 0);
  CHECK(counts.zero == 80 - rank);
  CHECK(counts.positive == rank);
}

TEST_CASE("a space set aside is not counted, and what is left is the restriction") {
  const Index size = 60, removed = 7;
  const MatrixOperator A(spectrum(size, 1), 4);
  const Vectors<double> X = random_orthogonal(size, 9).leftCols(removed), Q = random_orthogonal(size, 9);
  const Vectors<double> rest = Q.rightCols(size - removed), matrix = assemble(A);
  const Vector<double> expected = symmetric_eigen(rest.transpose() * matrix * rest, false).values;
  CHECK(dense_counts(assembled_matrix(A), removal_of(X), removed, 1e308).zero == size - removed);
  const EigenvalueCounts counts = dense_counts(assembled_matrix(A), removal_of(X), removed);
  CHECK(counts.negative == (expected.array() < -counts.tolerance).count());
  CHECK(counts.positive == (expected.array() > counts.tolerance).count());
  CHECK(counts.negative + counts.zero + counts.positive == size - removed);

  for (const Index limit : {Index{1000}, Index{1}}) {  // densely, and by Krylov spaces where they are used
    RestrictedOptions options;
    options.dense_limit = options.eigen.dense_limit = limit;
    const RestrictedCurvature curvature = restricted_curvature(A, removal_of(X), removed, options);
    CHECK(std::abs(curvature.smallest.value - expected[0]) <= curvature.smallest.error_bound + 1e-14);
    CHECK((X.transpose() * curvature.direction).norm() <= 1e-8);
    CHECK(curvature.counts.negative == counts.negative);
    if (limit == 1000) CHECK(curvature.counts.zero == counts.zero);
  }
}

TEST_CASE("a zero matrix has zeros only, whatever is set aside") {
  const Index size = 24, removed = GENERATE(0, 5, 24);
  const double scale = GENERATE(0.0, 1e-320, 1e-300);
  const Vectors<double> X = random_orthogonal(size, 2).leftCols(removed);
  const MatrixOperator A(Vectors<double>(Vectors<double>::Constant(size, size, scale)));
  CAPTURE(removed, scale);
  const EigenvalueCounts counts = dense_counts(assembled_matrix(A), removal_of(X), removed);
  CHECK(counts.negative == 0);
  CHECK(counts.positive == (removed < size && scale == 1e-300 ? 1 : 0));
  CHECK(counts.zero == size - removed - counts.positive);
  if (removed == size || scale > 0) return;
  const RestrictedCurvature curvature = restricted_curvature(A, removal_of(X), removed);
  CHECK(std::abs(curvature.smallest.value) <= curvature.smallest.error_bound);
}

TEST_CASE("a tolerance below the rounding claims no signs") {
  Vectors<double> B(40, 20);
  Random(3, "factor").fill_normal(B);
  const MatrixOperator A(Vectors<double>(B * B.transpose()));
  for (const double tolerance : {1e-30, 1e-18}) {
    const EigenvalueCounts dense = dense_counts(assembled_matrix(A), kNothing, 0, tolerance),
                           krylov = krylov_counts(extreme_eigenpairs(A, End::smallest, 8, {.dense_limit = 0}),
                                                  40, 0, tolerance);
    for (const EigenvalueCounts* counts : {&dense, &krylov}) {
      CHECK(counts->negative == 0);
      CHECK(counts->tolerance == counts->rounding);
      CHECK(counts->tolerance_reason.rfind("raised from ", 0) == 0);
    }
    CHECK(dense.zero == 20);
  }
}

TEST_CASE("counts from Krylov spaces are called exact only where the search for missed ones can tell",
          "[many]") {
  // As of J^T J: many zeros under a bulk that begins close to them.
  Vector<double> values = Vector<double>::Zero(300);
  for (Index i = 0; i < 240; ++i) values[60 + i] = std::pow(10, -4.5 * (1 - static_cast<double>(i) / 239));
  const double precision = GENERATE(1e-2, 1e-3, 1e-4, 1e-5, 1e-6);
  const Index pairs = GENERATE(6, 20, 70);
  const EigenResult smallest = extreme_eigenpairs(MatrixOperator(values), End::smallest, pairs,
                                                  {.tolerance = precision, .dense_limit = 0});
  for (const double tolerance : {0.0, 1e-7, 1e-5, 1e-3}) {
    const EigenvalueCounts counts = krylov_counts(smallest, 300, 0, tolerance);
    CAPTURE(precision, pairs, tolerance, counts.tolerance, counts.zero);
    const Index zeros = (values.array() <= counts.tolerance).count();
    CHECK(counts.negative == 0);
    CHECK(counts.zero <= zeros);
    if (counts.zero_exact) CHECK(counts.zero == zeros);
    if (tolerance == 0) CHECK(counts.tolerance >= smallest.resolution);
  }
}

TEST_CASE("the space set aside does not hide a definite restriction") {
  // All eigenvalues positive but for three removed zeros: the smallest is the smallest of the others.
  const Index size = 200;
  Vector<double> values = Vector<double>::LinSpaced(size, 0.1, 2);
  values.head(3).setZero();
  const MatrixOperator A(values, 5);
  const Vectors<double> zeros = symmetric_eigen(assemble(A), true).vectors.leftCols(3);
  RestrictedOptions options;
  options.dense_limit = options.eigen.dense_limit = 10;
  const RestrictedCurvature curvature = restricted_curvature(A, removal_of(zeros), 3, options);
  CHECK(std::abs(curvature.smallest.value - values[3]) <= curvature.smallest.error_bound + 1e-13);
  CHECK(curvature.counts.negative == 0);
  CHECK(curvature.counts.zero == 0);
  CHECK(curvature.counts.exact());
  CHECK(curvature.counts.positive == size - 3);
}

TEST_CASE("counts from Krylov spaces say when they are lower bounds") {
  Vector<double> values = Vector<double>::LinSpaced(200, 0.1, 2);
  values.head(5).setConstant(-0.2);
  values.segment(5, 4).setZero();
  const MatrixOperator A(values, 6);
  const auto counts = [&](Index pairs) {
    return krylov_counts(extreme_eigenpairs(A, End::smallest, pairs, {.dense_limit = 0}), 200, 0);
  };
  CHECK(counts(3).negative == 3);
  CHECK_FALSE(counts(3).negative_exact);
  CHECK(counts(7).negative == 5);
  CHECK(counts(7).negative_exact);
  CHECK_FALSE(counts(7).zero_exact);
  CHECK(counts(10).exact());
  CHECK(counts(10).zero == 4);
  CHECK(counts(10).positive == 191);
}
