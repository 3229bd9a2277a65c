#include "basin/spectrum/eigenpairs.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <limits>

#include "basin/linalg/dense.h"
#include "basin/linalg/errors.h"
#include "support/known_matrix.h"

using namespace basin;
using namespace basin::test;

namespace {

/// So that small matrices, too, are left to Krylov spaces.
const EigenOptions kMatrixFree = {.dense_limit = 0};

}  // namespace

TEST_CASE("extreme eigenpairs of known spectra, at any scale") {
  const double scale = GENERATE(1e-8, 1.0, 1e8);
  const auto end = GENERATE(End::largest, End::smallest);
  CAPTURE(scale, end == End::largest);
  Vector<double> values(200);  // a semidefinite bulk with a few negative ones
  for (Index i = 0; i < 200; ++i)
    values[i] = scale * (i < 3 ? -0.1 * static_cast<double>(3 - i) : i < 50 ? 0 : 0.01 * i);
  const MatrixOperator A(values);
  const EigenResult result = extreme_eigenpairs(A, end, 3, kMatrixFree);
  REQUIRE(result.eigenvalues.size() == 3);
  CHECK(result.all_converged());
  CHECK(result.products > 0);
  CHECK(result.products == A.products());
  for (Index i = 0; i < 3; ++i) {
    const double expected = end == End::smallest ? values[i] : values[199 - i];
    const Eigenvalue& found = result.eigenvalues[i];
    CHECK(std::abs(found.value - expected) <= found.error_bound + 1e-14 * scale);
    CHECK(found.error_bound <= 2e-10 * 2 * scale);
    CHECK(found.residual <= found.error_bound);
    const Vector<double> x = result.eigenvectors.col(i);
    Vectors<double> Ax(200, 1);
    A.apply(x, Ax);
    CHECK(x.norm() == Approx(1).epsilon(1e-14));
    CHECK((Ax.col(0) - found.value * x).norm() <= found.error_bound);
  }
}

TEST_CASE("a semidefinite operator shows no negative curvature beyond its bound") {
  const double scale = GENERATE(1e-8, 1.0, 1e8);
  Vector<double> values = Vector<double>::Zero(150);
  values.tail(100) = scale * Vector<double>::LinSpaced(100, 0.5, 2);
  const EigenResult result = extreme_eigenpairs(MatrixOperator(values), End::smallest, 2, kMatrixFree);
  for (const Eigenvalue& e : result.eigenvalues) CHECK(std::abs(e.value) <= e.error_bound);
}

namespace {

Vector<double> joined(std::initializer_list<Vector<double>> parts) {
  std::vector<double> all;
  for (const auto& p : parts) all.insert(all.end(), p.begin(), p.end());
  std::sort(all.begin(), all.end());
  return Eigen::Map<Vector<double>>(all.data(), static_cast<Index>(all.size()));
}

Vector<double> constant(Index count, double value) {
  return Vector<double>::Constant(count, value);
}

struct Known {
  const char* name;
  Vector<double> values;  // ascending, of a matrix whose norm is about 1
};

std::vector<Known> known_spectra() {
  const Vector<double> bulk = Vector<double>::LinSpaced(150, 0.01, 0.6);
  return {
      {"tenfold at the top", joined({bulk, constant(10, 1)})},
      {"tenfold at the bottom", joined({bulk, constant(10, -0.3), constant(1, 1)})},
      {"tenfold zero under a positive bulk", joined({bulk, constant(10, 0), constant(1, 1)})},
      {"cluster with gaps of 1e-10 at the top", joined({bulk, Vector<double>::LinSpaced(5, 1 - 4e-10, 1)})},
      {"cluster with gaps of 1e-10 at the bottom",
       joined({bulk, Vector<double>::LinSpaced(5, -0.2, -0.2 + 4e-10), constant(1, 1)})},
      {"one tiny negative under a large positive bulk", joined({bulk, constant(1, -1e-7), constant(2, 1)})},
      {"semidefinite with many zeros", joined({constant(100, 0), bulk, constant(1, 1)})},
      {"a pair of each", joined({bulk, bulk, constant(2, 0.8), constant(2, -0.1), constant(2, 1)})},
  };
}

}  // namespace

namespace {

void check_end(const EigenResult& result, End end, Index count, const Vector<double>& values, double scale) {
  CAPTURE(end == End::largest);
  const Index size = values.size();
  CHECK_FALSE(result.dense);
  REQUIRE(result.all_converged());
  REQUIRE(result.eigenvectors.cols() == count);
  CHECK((result.eigenvectors.transpose() * result.eigenvectors - Vectors<double>::Identity(count, count))
            .norm() <= 1e-9);
  CHECK(result.joint_bound <= 1e-9 * scale);
  for (Index i = 0; i < count; ++i) {
    const double expected = scale * (end == End::largest ? values[size - 1 - i] : values[i]);
    const Eigenvalue& found = result.eigenvalues[i];
    CAPTURE(i, found.value, expected);
    CHECK(std::abs(found.value - expected) <= result.joint_bound + 1e-14 * scale);
    CHECK((scale * values.array() - found.value).abs().minCoeff() <= found.error_bound + 1e-14 * scale);
    if (expected >= 0) CHECK(found.value >= -found.error_bound);
    if (expected == -1e-7 * scale) CHECK(found.value < -found.error_bound);
  }
  // What is said to be excluded is.
  const double next = scale * (end == End::largest ? values[size - 1 - count] : values[count]);
  REQUIRE(std::isfinite(result.no_more_beyond));
  CHECK((end == End::largest ? next <= result.no_more_beyond : next >= result.no_more_beyond));
}

}  // namespace

TEST_CASE("known spectra: values and multiplicities at both ends, no false negative curvature", "[many]") {
  const double scale = GENERATE(1e-8, 1.0, 1e8);
  const Index smallest = GENERATE(0, 1, 4, 12), largest = GENERATE(0, 1, 4, 12);
  EigenOptions options = kMatrixFree;
  options.krylov_vectors = GENERATE(24, 256);  // with restarts, and with hardly any
  if (smallest + largest == 0) return;
  for (const Known& known : known_spectra()) {
    CAPTURE(known.name, scale, smallest, largest, options.krylov_vectors);
    const MatrixOperator A(Vector<double>(scale * known.values));
    const ExtremeEigenpairs found = extreme_eigenpairs(A, smallest, largest, options);
    if (smallest > 0) check_end(found.smallest, End::smallest, smallest, known.values, scale);
    if (largest > 0) check_end(found.largest, End::largest, largest, known.values, scale);
    for (const EigenResult* end : {&found.smallest, &found.largest})
      CHECK((end->requested == 0 || end->products == A.products()));
  }
}

TEST_CASE("copies of an eigenvalue that Krylov spaces reach slowly are found, or nothing is claimed") {
  // As of J^T J with more parameters than outputs: many zeros under a bulk that begins close to them.
  Vector<double> values = Vector<double>::Zero(300);
  for (Index i = 0; i < 240; ++i) values[60 + i] = std::pow(10, -4.5 * (1 - static_cast<double>(i) / 239));
  Index complete = 0;
  for (const Index restarts : {0, 4, 20, 300}) {
    const EigenResult found = extreme_eigenpairs(MatrixOperator(values), End::smallest, 3,
                                                 {.max_restarts = restarts, .dense_limit = 0});
    if (!found.all_converged() || !found.resolved) {
      CHECK(found.completeness.rfind("not ", 0) == 0);
      continue;
    }
    ++complete;
    CAPTURE(restarts);
    for (const Eigenvalue& e : found.eigenvalues) CHECK(std::abs(e.value) <= found.joint_bound + 1e-14);
  }
  CHECK(complete > 0);
}

TEST_CASE("an end that does not converge takes nothing from the other") {
  // Isolated at the top, crowded at the bottom.
  Vector<double> values = Vector<double>::LinSpaced(1000, 0, 1e-3).array().square();
  values.tail(3) << 0.5, 0.7, 1;
  const ExtremeEigenpairs found =
      extreme_eigenpairs(MatrixOperator(values), 3, 3, {.max_restarts = 1, .dense_limit = 0});
  CHECK_FALSE(found.smallest.all_converged());
  CHECK(found.smallest.probes == 0);
  CHECK_FALSE(std::isfinite(found.smallest.no_more_beyond));
  REQUIRE(found.largest.all_converged());
  CHECK(found.largest.probes > 0);
  CHECK(found.largest.no_more_beyond < 0.5);
  for (Index i = 0; i < 3; ++i)
    CHECK(std::abs(found.largest.eigenvalues[i].value - values[999 - i]) <=
          found.largest.eigenvalues[i].error_bound + 1e-14);
}

TEST_CASE("small operators are solved densely, with multiplicities") {
  const MatrixOperator A(Vector<double>{{-2, -2, -2, 0, 1, 3, 3}});
  const EigenResult low = extreme_eigenpairs(A, End::smallest, 4);
  const EigenResult high = extreme_eigenpairs(A, End::largest, 3);
  CHECK(low.completeness == "complete: all 7 eigenvalues with their multiplicities");
  const std::vector<double> expected_low = {-2, -2, -2, 0}, expected_high = {3, 3, 1};
  REQUIRE(low.eigenvalues.size() == 4);
  REQUIRE(high.eigenvalues.size() == 3);
  for (int i = 0; i < 4; ++i)
    CHECK(std::abs(low.eigenvalues[i].value - expected_low[i]) <= low.eigenvalues[i].error_bound);
  for (int i = 0; i < 3; ++i) {
    CHECK(std::abs(high.eigenvalues[i].value - expected_high[i]) <= high.eigenvalues[i].error_bound);
    Vectors<double> Ax(7, 1);
    A.apply(high.eigenvectors.col(i), Ax);
    CHECK((Ax.col(0) - high.eigenvalues[i].value * high.eigenvectors.col(i)).norm() < 1e-13);
  }
}

TEST_CASE("a small matrix with a multiple eigenvalue at an end takes no more products than it has columns") {
  Vector<double> values = Vector<double>::Zero(60);
  values.tail(48) = Vector<double>::LinSpaced(48, -6, 0).unaryExpr([](double x) { return std::pow(10, x); });
  const MatrixOperator A(values);
  const ExtremeEigenpairs found = extreme_eigenpairs(A, 3, 3);
  CHECK(found.smallest.all_converged());
  for (const Eigenvalue& e : found.smallest.eigenvalues) CHECK(std::abs(e.value) <= e.error_bound);
  CHECK(found.largest.eigenvalues[0].value == Approx(1));
  CHECK(A.products() <= 80);
}

TEST_CASE("what lies within the resolution of the last value is not claimed to be absent") {
  Vector<double> values = Vector<double>::LinSpaced(200, 1e-3, 1);
  values.head(20).setConstant(1e-6);
  values[0] = 0;
  const EigenResult found =
      extreme_eigenpairs(MatrixOperator(values), End::smallest, 1, {.tolerance = 1e-5, .dense_limit = 0});
  CHECK(found.resolution >= 2e-5 * 0.9);
  CHECK(found.completeness.find("multiplicities to within ") != std::string::npos);
}

TEST_CASE("ends of a restriction: densely and by Krylov spaces, and of nothing") {
  const Index size = 120, removed = 7;
  const MatrixOperator A(Vector<double>(Vector<double>::LinSpaced(size, -1, 2)), 4);
  const Vectors<double> Q = random_orthogonal(size, 9), X = Q.leftCols(removed),
                        rest = Q.rightCols(size - removed);
  const Vector<double> expected = symmetric_eigen(rest.transpose() * assemble(A) * rest, false).values;
  const MatrixOperator zero(Vectors<double>(Vectors<double>::Zero(size, size)));
  for (const Index limit : {0, 1000}) {
    const EigenOptions options = {.dense_limit = limit};
    const ExtremeEigenpairs found = restricted_eigenpairs(A, removal_of(X), removed, 3, 2, options);
    for (Index i = 0; i < 3; ++i)
      CHECK(std::abs(found.smallest.eigenvalues[i].value - expected[i]) <=
            found.smallest.joint_bound + 1e-13);
    for (Index i = 0; i < 2; ++i)
      CHECK(std::abs(found.largest.eigenvalues[i].value - expected[expected.size() - 1 - i]) <=
            found.largest.joint_bound + 1e-13);
    const ExtremeEigenpairs flat = restricted_eigenpairs(zero, removal_of(X), removed, 3, 2, options);
    for (const ExtremeEigenpairs* ends : {&found, &flat})
      for (const EigenResult* end : {&ends->smallest, &ends->largest}) {
        CHECK(end->removed == removed);
        CHECK((X.transpose() * end->eigenvectors).norm() <= 1e-8);
      }
    for (const Eigenvalue& e : flat.smallest.eigenvalues) CHECK(std::abs(e.value) <= e.error_bound);
  }
}

TEST_CASE("not converging is a result, with what is known") {
  const Vector<double> values = Vector<double>::LinSpaced(600, 0, 1);  // no gaps to speak of
  const EigenResult result = extreme_eigenpairs(MatrixOperator(values), End::smallest, 3,
                                                {.max_restarts = 1, .krylov_vectors = 64, .dense_limit = 0});
  CHECK_FALSE(result.all_converged());
  CHECK(result.completeness.rfind("not converged: ", 0) == 0);
  REQUIRE(result.eigenvalues.size() == 3);
  REQUIRE(result.eigenvectors.cols() == 3);
  for (int i = 0; i < 3; ++i) {
    const Eigenvalue& e = result.eigenvalues[i];
    CHECK(e.value >= values[i] - e.error_bound);  // a Ritz value is an upper bound on the smallest
    CHECK((values.array() - e.value).abs().minCoeff() <= e.error_bound);
    if (i > 0) CHECK(e.value >= result.eigenvalues[i - 1].value);
  }
  CHECK_FALSE(result.eigenvalues[2].converged);
}

TEST_CASE("operators of extreme scale, where squares under- and overflow") {
  const double scale = GENERATE(1e-200, 1e-170, 1e170, 1e200);
  Vector<double> values = Vector<double>::LinSpaced(100, -1, 2);
  values[0] = -3;
  values[99] = 4;
  const MatrixOperator A(Vector<double>(scale * values));
  const EigenResult low = extreme_eigenpairs(A, End::smallest, 1, kMatrixFree),
                    high = extreme_eigenpairs(A, End::largest, 1, kMatrixFree);
  const EigenResult full = full_spectrum(A, false);
  CAPTURE(scale, low.eigenvalues[0].error_bound);
  CHECK(low.eigenvalues[0].value / scale == Approx(-3).epsilon(1e-9));
  CHECK(high.eigenvalues[0].value / scale == Approx(4).epsilon(1e-9));
  CHECK(low.all_converged());
  CHECK(low.eigenvalues[0].error_bound > 0);
  CHECK(low.eigenvalues[0].error_bound < 1e-8 * scale);
  CHECK(full.eigenvalues[0].value / scale == Approx(-3).epsilon(1e-12));
  CHECK(full.eigenvalues[0].error_bound < 1e-12 * scale);
}

namespace {

/// a - b with a, b close: all digits cancel; the perturbed one has other last digits.
class Cancelling final : public SelfAdjointOperator {
 public:
  Cancelling(Index size, double shift) : SelfAdjointOperator(size), shift_(shift) {}

 private:
  void do_apply(ConstVectorsRef<double> V, VectorsRef<double> out) const override {
    out = (1e3 + shift_) * V;
    out -= 1e3 * V;
  }
  double shift_;
};

}  // namespace

TEST_CASE("a value that is all rounding gets a bound that says so") {
  const Index size = GENERATE(1, 5, 100);
  const Cancelling A(size, 1e-14), perturbed(size, -2e-13);
  EigenOptions options = kMatrixFree;
  options.perturbed = &perturbed;
  const EigenResult extreme = extreme_eigenpairs(A, End::smallest, 1, options),
                    full = full_spectrum(A, false, options);
  for (const EigenResult* result : {&extreme, &full})
    CHECK(std::abs(result->eigenvalues[0].value) <= result->eigenvalues[0].error_bound);
  CHECK(extreme.dense == (size < 100));
}

TEST_CASE("the memory asked for is that of the method taken") {
  CHECK(full_spectrum_bytes(1000, false) == 16e6);
  CHECK(extreme_eigenpairs_bytes(1000, 0, 500) == full_spectrum_bytes(1000, true));
  CHECK(extreme_eigenpairs_bytes(1000000, 3, 0) < 8e6 * 600);
}

TEST_CASE("zero operators, impossible numbers and products that are not finite") {
  const MatrixOperator zero(Vectors<double>(Vectors<double>::Zero(100, 100)));
  const EigenResult result = extreme_eigenpairs(zero, End::largest, 2, kMatrixFree);
  REQUIRE(result.eigenvalues.size() == 2);
  CHECK(result.eigenvalues[1].value == 0);
  CHECK(result.all_converged());
  CHECK_THROWS_WITH(extreme_eigenpairs(zero, End::largest, 101),
                    "number of eigenpairs: expected 1 to 100, found 101");
  CHECK_THROWS_AS(extreme_eigenpairs(zero, End::largest, 0), InputError);
  Vectors<double> A = Vectors<double>::Identity(100, 100);
  A(3, 3) = std::numeric_limits<double>::infinity();
  CHECK_THROWS_AS(extreme_eigenpairs(MatrixOperator(A), End::largest, 1), WorkError);
  CHECK_THROWS_AS(extreme_eigenpairs(MatrixOperator(A), End::largest, 1, kMatrixFree), WorkError);
  CHECK_THROWS_AS(full_spectrum(MatrixOperator(A), false), WorkError);
}

TEST_CASE("the full spectrum, with and without vectors, and an asymmetric operator's larger bound") {
  const Vector<double> values = Vector<double>::LinSpaced(30, -1, 2);
  const MatrixOperator A(values);
  for (const bool vectors : {true, false}) {
    const EigenResult result = full_spectrum(A, vectors);
    REQUIRE(result.eigenvalues.size() == 30);
    for (Index i = 0; i < 30; ++i)
      CHECK(std::abs(result.eigenvalues[i].value - values[i]) <= result.eigenvalues[i].error_bound);
    CHECK(result.eigenvectors.cols() == (vectors ? 30 : 0));
    CHECK(result.eigenvalues[0].error_bound < 1e-13);
  }
  Vectors<double> B = Vectors<double>::Identity(3, 3);
  B(0, 1) = 1e-6;
  const double bound = full_spectrum(MatrixOperator(B), false).eigenvalues[0].error_bound;
  CHECK(bound >= 1e-6 / std::sqrt(2));  // what symmetrising takes away
  CHECK(bound < 1e-5);
}
