#include "basin/spectrum/density.h"

#include <catch2/catch.hpp>
#include <cmath>
#include <limits>

#include "basin/linalg/errors.h"
#include "support/known_matrix.h"

using namespace basin;
using namespace basin::test;

namespace {

const Removal kWhole = [](VectorsRef<double>) {};

/// A spectrum with negative ones, zeros, a bulk and an outlier.
Vector<double> spectrum(Index size, Index negative, Index zeros, double gap = 0.05) {
  Vector<double> values(size);
  for (Index i = 0; i < size; ++i) {
    const double x = static_cast<double>(i) / static_cast<double>(size);
    values[i] = i < negative ? -0.5 * (1 + x) : i < negative + zeros ? 0 : x * x * x + gap;
  }
  values[size - 1] = 5;
  return values;
}

/// Diagonal: products are cheap, and Lanczos does not care for the basis.
class Diagonal final : public SelfAdjointOperator {
 public:
  explicit Diagonal(Vector<double> values) : SelfAdjointOperator(values.size()), values_(std::move(values)) {}

 private:
  void do_apply(ConstVectorsRef<double> V, VectorsRef<double> out) const override {
    out = values_.asDiagonal() * V;
  }
  Vector<double> values_;
};

double share_below(const Vector<double>& values, double x) {
  return static_cast<double>((values.array() < x).count()) / static_cast<double>(values.size());
}

}  // namespace

TEST_CASE("each probe integrates polynomials exactly, and weights sum to one") {
  const Vector<double> values = spectrum(80, 5, 10);
  const MatrixOperator A(values, 2);
  const LanczosQuadrature q = lanczos_quadrature(A, kWhole, 0, {.probes = 3, .steps = 8, .seed = 1});
  REQUIRE(q.probes.size() == 3);
  CHECK(q.products == 24);
  CHECK(q.products == A.products());
  for (Index j = 0; j < 3; ++j) {
    const ProbeRule& rule = q.probes[j];
    Vectors<double> v(80, 1);
    Random(1, "density probe " + std::to_string(j)).fill_normal(v);
    v /= v.norm();
    CHECK(rule.weights.sum() == Approx(1).epsilon(1e-13));
    Vectors<double> power = v;
    for (int degree = 1; degree <= 15; ++degree) {
      Vectors<double> next(80, 1);
      A.apply(power, next);
      power = next;
      const double exact = (v.transpose() * power)(0, 0);
      const double found = (rule.weights.array() * rule.nodes.array().pow(degree)).sum();
      CHECK(found == Approx(exact).epsilon(1e-11));
    }
  }
}

TEST_CASE("breakdown: few distinct eigenvalues end a probe with an exact rule") {
  Vector<double> values = Vector<double>::Zero(50);
  values.head(20).setConstant(2);
  values.head(5).setConstant(-1);
  const LanczosQuadrature q =
      lanczos_quadrature(MatrixOperator(values), kWhole, 0, {.probes = 4, .steps = 30});
  for (const ProbeRule& rule : q.probes) {
    CHECK(rule.exhausted);
    REQUIRE(rule.nodes.size() == 3);
    CHECK((rule.nodes - Vector<double>{{-1, 0, 2}}).norm() <= 1e-12);
  }
  const Mass mass = mass_below(q, -0.5);
  CHECK(mass.truncation == 0);
  CHECK(mass.lower <= 0.1);
  CHECK(mass.upper >= 0.1);
  const LanczosQuadrature zero = lanczos_quadrature(
      MatrixOperator(Vectors<double>(Vectors<double>::Zero(20, 20))), kWhole, 0, {.probes = 2, .steps = 5});
  CHECK(mass_below(zero, -1e-12).value == 0);
  CHECK(mass_below(zero, 1e-12).value == Approx(1));
  CHECK(density_curve(zero, DensityAxis::linear, 50).density.allFinite());
}

TEST_CASE("the 95 % band of the cumulative mass holds the dense value in at least 95 of 100 runs", "[many]") {
  struct Run {
    Index size, negative, zeros, probes, steps;
    double x, gap = 0.05;
  };
  const Run run = GENERATE(
      Run{300, 30, 0, 10, 30, -0.01}, Run{300, 1, 0, 10, 30, -0.01}, Run{300, 3, 100, 5, 40, -0.01},
      Run{1000, 10, 500, 10, 40, -0.01}, Run{300, 30, 0, 10, 20, -1e-9}, Run{300, 1, 0, 10, 20, -1e-9},
      Run{300, 3, 100, 5, 30, -1e-9}, Run{300, 30, 100, 10, 12, -1e-9}, Run{300, 30, 0, 3, 20, 0.2},
      Run{1000, 10, 500, 10, 40, -1e-9}, Run{300, 0, 100, 10, 20, -1e-9}, Run{40, 3, 5, 10, 12, -1e-9},
      Run{300, 30, 0, 10, 20, -1e-9, 1e-4}, Run{300, 3, 50, 5, 15, -1e-9, 1e-6});
  const Vector<double> values = spectrum(run.size, run.negative, run.zeros, run.gap);
  const Diagonal A(values);
  const double expected = share_below(values, run.x);
  Index inside = 0;
  double width = 0;
  for (std::uint64_t seed = 0; seed < 100; ++seed) {
    const Mass mass = mass_below(
        lanczos_quadrature(A, kWhole, 0, {.probes = run.probes, .steps = run.steps, .seed = seed}), run.x);
    inside += mass.lower <= expected && expected <= mass.upper ? 1 : 0;
    width += (mass.upper - mass.lower) / 100;
    CHECK(mass.lower <= mass.value);
    CHECK(mass.value <= mass.upper);
  }
  CAPTURE(run.size, run.negative, run.zeros, run.probes, run.steps, run.x, width);
  CHECK(inside >= 95);
  // Not by being useless: where there is a gap at x and the rule resolves it, the band is no wider than a few
  // standard errors.
  const double p = expected, n = static_cast<double>(run.probes * run.size) / 2;
  if (run.steps >= 20 && run.gap == 0.05 && run.x == -0.01)
    CHECK(width <= 6 * std::sqrt(p * (1 - p) / n) + 13 / n + 0.02);
}

TEST_CASE("the density with its error bars is that of the spectrum, smoothed alike") {
  const Vector<double> values = spectrum(400, 30, 20);
  const Diagonal A(values);
  for (const DensityAxis axis : {DensityAxis::linear, DensityAxis::symmetric_log}) {
    Index inside = 0, points = 0;
    double worst = 0;
    for (std::uint64_t seed = 0; seed < 20; ++seed) {
      const DensityCurve curve = density_curve(
          lanczos_quadrature(A, kWhole, 0, {.probes = 10, .steps = 40, .seed = seed}), axis, 100);
      for (Index t = 0; t < 100; ++t) {
        const auto u = [&](double l) {
          return axis == DensityAxis::linear ? l : std::asinh(l / curve.scale);
        };
        double exact = 0;
        for (const double l : values) {
          const double z = (u(curve.eigenvalue[t]) - u(l)) / curve.width;
          exact += std::exp(-z * z / 2) / (curve.width * std::sqrt(2 * M_PI)) / 400;
        }
        const double error = std::abs(curve.density[t] - exact);
        inside += error <= 1.96 * curve.noise[t] + curve.truncation[t] + 1e-9 ? 1 : 0;
        worst = std::max(worst, error / (curve.noise[t] + curve.truncation[t] + 1e-9));
        ++points;
      }
    }
    CAPTURE(axis == DensityAxis::linear, worst);
    CHECK(inside >= points * 95 / 100);
  }
}

TEST_CASE("a removed space is not in the measure") {
  const Index size = 60;
  Vector<double> values = spectrum(size, 6, 0);
  const Diagonal A(values);
  const Vectors<double> X = Vectors<double>::Identity(size, 6);  // the negative ones
  const LanczosQuadrature q = lanczos_quadrature(A, removal_of(X), 6, {.probes = 4, .steps = 20});
  CHECK(q.size == 54);
  CHECK(q.removed == 6);
  CHECK(q.lowest() > 0);
  CHECK(mass_below(q, 0).value == 0);
}

TEST_CASE("where nothing is removed the measure is that of the operator, whatever the removal would do") {
  const Diagonal A(spectrum(60, 6, 0));
  const Vectors<double> X = Vectors<double>::Identity(60, 6);
  const QuadratureOptions options = {.probes = 2, .steps = 20};
  const LanczosQuadrature q = lanczos_quadrature(A, removal_of(X), 0, options);
  CHECK(q.size == 60);
  CHECK(q.probes[1].nodes == lanczos_quadrature(A, kWhole, 0, options).probes[1].nodes);
  const Mass mass = mass_below(q, 0);
  CHECK(mass.lower <= 0.1);
  CHECK(mass.upper >= 0.1);
  CHECK(mass.lower > 0);
}

TEST_CASE("any number of probes at once gives the same bits") {
  const MatrixOperator A(spectrum(60, 6, 10), 3);
  const auto nodes = [&](Index at_once) {
    return lanczos_quadrature(A, kWhole, 0, {.probes = 5, .steps = 10, .at_once = at_once}).probes[3].nodes;
  };
  CHECK((nodes(5) - nodes(2)).norm() <= 1e-12);
}

TEST_CASE("a kernel that the grid does not resolve is refused, and is never the default") {
  const Diagonal A(spectrum(400, 30, 20));
  const LanczosQuadrature q = lanczos_quadrature(A, kWhole, 0, {.probes = 2, .steps = 200});
  const double range = q.highest() - q.lowest();
  CHECK_THROWS_AS(density_curve(q, DensityAxis::linear, 400, 1e-9), InputError);
  CHECK_THROWS_AS(density_curve(q, DensityAxis::linear, 400, 0.004 * range), InputError);
  for (const double width : {0.0, 0.006 * range}) {
    const DensityCurve curve = density_curve(q, DensityAxis::linear, 400, width);
    CHECK(curve.density.sum() * (curve.eigenvalue[1] - curve.eigenvalue[0]) == Approx(1).margin(0.01));
  }
}

TEST_CASE("the rounding of products is measured with the perturbed operator") {
  const Diagonal A(spectrum(100, 5, 5)), perturbed(spectrum(100, 5, 5) * (1 + 1e-9));
  const LanczosQuadrature q =
      lanczos_quadrature(A, kWhole, 0, {.probes = 2, .steps = 5, .perturbed = &perturbed});
  CHECK(q.rounding > 1e-10);
  CHECK(q.rounding < 1e-8);
  CHECK(q.products == 10);
}

TEST_CASE("impossible numbers and products that are not finite") {
  const MatrixOperator A(spectrum(30, 3, 3));
  CHECK_THROWS_AS(lanczos_quadrature(A, kWhole, 0, {.probes = 0}), InputError);
  CHECK_THROWS_AS(lanczos_quadrature(A, kWhole, 30), InputError);
  Vectors<double> B = Vectors<double>::Identity(30, 30);
  B(1, 1) = std::numeric_limits<double>::quiet_NaN();
  CHECK_THROWS_AS(lanczos_quadrature(MatrixOperator(B), kWhole, 0), WorkError);
}
