#include "basin/spectrum/heterogeneity.h"

#include <catch2/catch.hpp>
#include <cmath>

#include "basin/linalg/errors.h"

using namespace basin;

namespace {

/// A quadrature of some probes, each with the same weights at these nodes.
LanczosQuadrature spectrum(const std::vector<double>& nodes,
                           const std::vector<std::vector<double>>& weights) {
  LanczosQuadrature q;
  q.size = 100;
  for (const std::vector<double>& w : weights) {
    ProbeRule rule;
    rule.nodes = Eigen::Map<const Vector<double>>(nodes.data(), static_cast<Index>(nodes.size()));
    rule.weights = Eigen::Map<const Vector<double>>(w.data(), static_cast<Index>(w.size()));
    q.probes.push_back(rule);
  }
  return q;
}

/// The distance of two distributions over places that are far apart, by its formula.
double distance(const std::vector<double>& p, const std::vector<double>& q) {
  double sum = 0;
  for (std::size_t i = 0; i < p.size(); ++i) {
    const double m = (p[i] + q[i]) / 2;
    if (p[i] > 0) sum += p[i] * std::log2(p[i] / m);
    if (q[i] > 0) sum += q[i] * std::log2(q[i] / m);
  }
  return std::sqrt(sum / 2);
}

}  // namespace

TEST_CASE("Jensen-Shannon distances of spectra are those of their formula") {
  // places 100 widths apart, so that the smoothing takes nothing from one to the other
  const std::vector<double> places = {-1, 0, 1};
  const auto q = [&](const std::vector<double>& w) { return spectrum(places, {w, w, w}); };
  const std::vector<double> a = {0.2, 0.5, 0.3}, b = {0, 0.9, 0.1}, c = {1, 0, 0}, d = {0, 0, 1};
  const LanczosQuadrature A = q(a), B = q(b), C = q(c), D = q(d);
  const Heterogeneity h = heterogeneity({&A, &B, &C, &D, &A});
  const std::vector<std::vector<double>> all = {a, b, c, d, a};
  double sum = 0;
  for (Index i = 0; i < 5; ++i)
    for (Index j = 0; j < 5; ++j) {
      const double expected = distance(all[static_cast<std::size_t>(i)], all[static_cast<std::size_t>(j)]);
      CHECK(h.distances(i, j) == Approx(expected).margin(1e-6));
      if (i < j) sum += h.distances(i, j);
    }
  CHECK(h.distances(2, 3) == Approx(1).margin(1e-12));
  CHECK(h.distances(0, 4) == 0);
  CHECK(h.mean == Approx(sum / 10).epsilon(1e-12));
  CHECK(h.errors.maxCoeff() <= 1e-14);  // all probes agree
  CHECK(h.width == Approx(0.02));
}

TEST_CASE("spectra that differ by a factor have the distance of that factor, whatever their unit") {
  const std::vector<double> nodes = {0.1, 0.5, 1}, wide = {1, 5, 10};
  const std::vector<double> w = {0.3, 0.3, 0.4};
  const auto scaled = [&](double unit) {
    std::vector<double> a = nodes, b = wide;
    for (double& x : a) x *= unit;
    for (double& x : b) x *= unit;
    const LanczosQuadrature A = spectrum(a, {w, w}), B = spectrum(b, {w, w});
    return heterogeneity({&A, &B}).mean;
  };
  CHECK(scaled(1) > 0.3);
  CHECK(scaled(1e-12) == Approx(scaled(1)).epsilon(1e-9));
  CHECK(scaled(1e200) == Approx(scaled(1)).epsilon(1e-9));
}

TEST_CASE("standard errors of distances are those of the probes") {
  // Probe j has the weight p_j at one place and 1 - p_j at another: of d(p, 0) with d^2 = JS.
  const std::vector<double> places = {0, 1};
  const LanczosQuadrature fixed = spectrum(places, {{1, 0}, {1, 0}, {1, 0}, {1, 0}});
  const LanczosQuadrature noisy = spectrum(places, {{0.5, 0.5}, {0.7, 0.3}, {0.6, 0.4}, {0.4, 0.6}});
  const Heterogeneity h = heterogeneity({&fixed, &noisy});
  std::vector<double> without;
  for (const double mean :
       {(0.7 + 0.6 + 0.4) / 3, (0.5 + 0.6 + 0.4) / 3, (0.5 + 0.7 + 0.4) / 3, (0.5 + 0.7 + 0.6) / 3})
    without.push_back(distance({1, 0}, {mean, 1 - mean}));
  double mean = 0, squares = 0;
  for (const double x : without) mean += x / 4;
  for (const double x : without) squares += (x - mean) * (x - mean);
  CHECK(h.errors(0, 1) == Approx(std::sqrt(3.0 / 4 * squares)).epsilon(1e-6));
  CHECK(h.mean_error == Approx(h.errors(0, 1)));
}

TEST_CASE("spectra of zero are the same, and other numbers of probes are refused") {
  const LanczosQuadrature zero = spectrum({0}, {{1}, {1}}), one = spectrum({0}, {{1}}),
                          three = spectrum({0}, {{1}, {1}, {1}});
  CHECK(heterogeneity({&zero, &zero}).mean == 0);
  CHECK_THROWS_AS(heterogeneity({&zero}), InputError);
  CHECK_THROWS_AS(heterogeneity({&one, &one}), InputError);
  CHECK_THROWS_AS(heterogeneity({&zero, &three}), InputError);
}
