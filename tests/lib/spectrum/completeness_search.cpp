#include "basin/spectrum/completeness_search.h"

#include <catch2/catch.hpp>

#include "support/known_matrix.h"

using namespace basin;
using namespace basin::test;

namespace {

const std::function<void()> kUncounted = [] {};

/// A matrix, its eigenvalues, ascending, and eigenvectors.
struct KnownPairs {
  explicit KnownPairs(Vector<double> d, std::uint64_t seed = 1)
      : values(std::move(d)), vectors(random_orthogonal(values.size(), seed)), A(values, seed) {}
  /// These eigenpairs, as if a Krylov space had found them.
  EndPairs pairs(const std::vector<Index>& which) const {
    return {vectors(Eigen::all, which), values(which), Vector<double>::Zero(std::ssize(which))};
  }
  Vector<double> values;
  Vectors<double> vectors;
  MatrixOperator A;
};

/// 200 values between 0.1 and 0.6 but for these ends.
Vector<double> with_ends(std::initializer_list<double> low, std::initializer_list<double> high) {
  Vector<double> d = Vector<double>::LinSpaced(200, 0.1, 0.6);
  std::copy(low.begin(), low.end(), d.begin());
  std::copy(high.begin(), high.end(), d.end() - std::ssize(high));
  return d;
}

/// Eigenpairs to the tolerance, orthonormal, and these values.
void check_found(const KnownPairs& known, const EndPairs& found, const Vector<double>& expected,
                 double tolerance) {
  const Index count = expected.size();
  REQUIRE(found.values.size() == count);
  const Vectors<double> same = found.vectors.transpose() * found.vectors;
  CHECK((same - Vectors<double>::Identity(count, count)).norm() <= 1e-12);
  Vectors<double> AX(known.values.size(), count);
  known.A.apply(found.vectors, AX);
  for (Index i = 0; i < count; ++i) {
    CHECK(std::abs(found.values[i] - expected[i]) <= tolerance);
    CHECK((AX.col(i) - found.values[i] * found.vectors.col(i)).norm() <= tolerance);
  }
}

}  // namespace

TEST_CASE("missed copies are found, more of them than a block has vectors, at either end and at both") {
  // Five copies below, six above.
  const KnownPairs known(with_ends({-0.3, -0.3, -0.3, -0.3, -0.3}, {1, 1, 1, 1, 1, 1}));
  const EigenOptions options = {.probe_block = GENERATE(1, 2, 3)};
  const Index low = GENERATE(0, 4, 5, 6), high = GENERATE(0, 3, 6, 7);
  if (low + high == 0) return;
  CAPTURE(options.probe_block, low, high);
  // One copy of each was seen, and what comes after the last.
  std::vector<Index> seen;
  for (Index i = 0; i < low; ++i) seen.push_back(i == 0 ? 4 : 4 + i);
  for (Index i = high - 1; i >= 0; --i) seen.push_back(i == 0 ? 194 : 194 - i);
  EndPairs found = known.pairs(seen);
  Index counted = 0;
  const std::function<void()> count = [&] { ++counted; };
  CompletenessSearch search(known.A, options, 1, count);
  search.run(found, {low, high});
  Vector<double> expected(low + high);
  expected << known.values.head(low), known.values.tail(high);
  check_found(known, found, expected, 1e-10);
  CHECK(search.resolved);
  CHECK(counted > 0);
  CHECK(counted <= known.A.products());
  // No block finds more copies than it has vectors, and the last one finds nothing.
  const Index missed = std::max(std::min<Index>(low, 5), std::min<Index>(high, 6)) - 1;
  CHECK(search.probes >= (missed + options.probe_block - 1) / options.probe_block + 1);
  // What is excluded is: the complement begins with the copies that were not wanted, or with the bulk.
  const auto excludes = [&](Index wanted, double none, double limit, double next) {
    if (wanted == 0) return std::isnan(none);
    return none <= next && limit - none <= (options.probe_block == 1 ? 0.2 : 0.1);
  };
  CHECK(excludes(low, search.none_below, low > 0 ? known.values[low] : 0, known.values[low]));
  CHECK(excludes(high, -search.none_above, high > 0 ? -known.values[199 - high] : 0,
                 -known.values[199 - high]));
}

TEST_CASE("what is complete stays as it is, bit by bit, after one probe") {
  const KnownPairs known(with_ends({-0.3, 0}, {0.9, 1}));
  for (const Wanted& wanted : {Wanted{1, 0}, Wanted{0, 2}, Wanted{2, 1}}) {
    const EndPairs before = known.pairs(end_columns(wanted, 200));
    EndPairs found = before;
    const EigenOptions options;
    CompletenessSearch search(known.A, options, 1, kUncounted);
    search.run(found, wanted);
    CHECK(search.probes == 1);
    CHECK(search.resolved);
    CHECK(found.vectors == before.vectors);
    CHECK(found.values == before.values);
    CHECK(std::isnan(search.none_below) == (wanted.smallest == 0));
    CHECK(std::isnan(search.none_above) == (wanted.largest == 0));
  }
}

TEST_CASE("what lies within the resolution of the last value is left alone, what lies beyond is found") {
  const double tolerance = 1e-3, norm = 2;  // as of a matrix twice as large: both set the resolution
  for (const double beyond : {0.5, 1.5}) {
    const KnownPairs known(with_ends({0, beyond * 2 * tolerance * norm}, {}));
    const EigenOptions options = {.tolerance = tolerance};
    CompletenessSearch search(known.A, options, norm, kUncounted);
    CHECK(search.resolution() == 2 * tolerance * norm);
    EndPairs found = known.pairs({1});
    search.run(found, {1, 0});
    CHECK(std::abs(found.values[0] - known.values[beyond < 1 ? 1 : 0]) <= tolerance * norm / 10);
  }
  // Rounding, where that is larger: four times what two evaluations differ by.
  const KnownPairs known(with_ends({0}, {1}));
  const MatrixOperator perturbed(
      Vectors<double>(assemble(known.A) + 1e-4 * Vectors<double>::Identity(200, 200)));
  const EigenOptions options = {.tolerance = 1e-10, .perturbed = &perturbed};
  CHECK(CompletenessSearch(known.A, options, 1, kUncounted).resolution() == Approx(2 * 4e-4).epsilon(1e-9));
}

TEST_CASE(
    "where a value may still move beyond nothing is claimed, and with more steps it is found or excluded") {
  // Zeros that a space reaches slowly, under a bulk that begins close to them.
  Vector<double> d = Vector<double>::Zero(300);
  for (Index i = 0; i < 270; ++i) d[30 + i] = std::pow(10, -4 * (1 - static_cast<double>(i) / 269));
  const KnownPairs known(d);
  EigenOptions few = {.max_restarts = 0, .krylov_vectors = 24, .probe_steps = 3},
               enough = {.max_restarts = 300};
  {
    CompletenessSearch search(known.A, few, 1, kUncounted);
    EndPairs found = known.pairs({0, 1});
    search.run(found, {2, 0});
    CHECK_FALSE(search.resolved);
    CHECK(std::isnan(search.none_below));  // three steps exclude nothing
    CHECK(found.values.norm() == 0);
  }
  {
    CompletenessSearch search(known.A, enough, 1, kUncounted);
    EndPairs found = known.pairs({29, 30, 31});  // one zero of thirty
    search.run(found, {3, 0});
    CHECK(search.resolved);
    CHECK(search.none_below <= 0);
    CHECK(found.values.cwiseAbs().maxCoeff() <= search.resolution());
  }
}

TEST_CASE("a block has no more vectors than the complement has dimensions") {
  Vector<double> d(7);
  d << -1, -1, 0.25, 0.25, 0.75, 2, 2;
  const KnownPairs known(d);
  const EigenOptions options = {.probe_block = 5};
  CompletenessSearch search(known.A, options, 2, kUncounted);
  EndPairs found = known.pairs({1, 2, 3, 6});  // one copy of each, and what lies between
  search.run(found, {2, 2});
  Vector<double> expected(4);
  expected << -1, -1, 2, 2;
  check_found(known, found, expected, 1e-12);
  // The complement is gone through: what is left is known to the tolerance.
  CHECK(search.none_below <= 0.25);
  CHECK(search.none_below >= 0.25 - 1e-9);
  CHECK(search.none_above >= 0.75);
  CHECK(search.none_above <= 0.75 + 1e-9);
}

TEST_CASE("pairs with residuals above the tolerance are improved, others are left as they are") {
  const KnownPairs known(with_ends({-0.3, -0.3}, {0.9, 1}));
  const EigenOptions options;
  const CompletenessSearch search(known.A, options, 1, kUncounted);
  const Wanted wanted = {2, 2};
  const EndPairs exact = ritz_pairs(known.A, known.pairs(end_columns(wanted, 200)).vectors, wanted);
  REQUIRE(exact.residuals.maxCoeff() <= 1e-13);
  CHECK(search.polished(exact, wanted).vectors == exact.vectors);
  Vectors<double> off(200, 4);
  Random(3, "off").fill_normal(off);
  const EndPairs rough = ritz_pairs(known.A, exact.vectors + 1e-9 * off, wanted);
  REQUIRE(rough.residuals.maxCoeff() > 1e-9);
  const EndPairs better = search.polished(rough, wanted);
  check_found(known, better, exact.values, 1e-11);
}
