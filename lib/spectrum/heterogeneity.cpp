#include "basin/spectrum/heterogeneity.h"

#include <algorithm>
#include <cmath>

#include "basin/linalg/errors.h"

namespace basin {
namespace {

/// The Jensen-Shannon distance of two densities on the same points, in any unit.
double distance(const Vector<double>& p, const Vector<double>& q) {
  const auto information = [](double share, double mean) {
    return share > 0 ? share * std::log2(share / mean) : 0.0;
  };
  double sum = 0;
  for (Index t = 0; t < p.size(); ++t) {
    const double mean = (p[t] + q[t]) / 2;
    sum += information(p[t], mean) + information(q[t], mean);
  }
  return std::sqrt(std::clamp(sum / 2, 0.0, 1.0));
}

/// The densities of the probes of one spectrum, points x probes, each with the sum 1.
Vectors<double> probe_densities(const LanczosQuadrature& q, const Vector<double>& points, double width) {
  Vectors<double> densities = Vectors<double>::Zero(points.size(), static_cast<Index>(q.probes.size()));
  for (Index j = 0; j < densities.cols(); ++j) {
    const ProbeRule& rule = q.probes[static_cast<std::size_t>(j)];
    for (Index i = 0; i < rule.nodes.size(); ++i)
      densities.col(j).array() +=
          rule.weights[i] * (-((points.array() - rule.nodes[i]) / width).square() / 2).exp();
    densities.col(j) /= densities.col(j).sum();
  }
  return densities;
}

/// The standard error of a value whose estimates without one of the probes are these.
double jackknife(const Vector<double>& without) {
  const auto m = static_cast<double>(without.size());
  return std::sqrt((m - 1) / m * (without.array() - without.mean()).square().sum());
}

}  // namespace

Heterogeneity heterogeneity(const std::vector<const LanczosQuadrature*>& spectra) {
  if (spectra.size() < 2) throw InputError("heterogeneity: expected two spectra or more");
  const auto probes = static_cast<Index>(spectra.front()->probes.size());
  double lowest = spectra.front()->lowest(), highest = spectra.front()->highest();
  for (const LanczosQuadrature* q : spectra) {
    if (static_cast<Index>(q->probes.size()) != probes || probes < 2)
      throw InputError("heterogeneity: expected the same number of probes, at least 2, of each spectrum");
    lowest = std::min(lowest, q->lowest());
    highest = std::max(highest, q->highest());
  }
  constexpr Index kPoints = 449;  // four to a width
  Heterogeneity result;
  result.width = (highest - lowest) / 100;
  if (!(result.width > 0)) result.width = 1;
  const Vector<double> points =
      Vector<double>::LinSpaced(kPoints, lowest - 6 * result.width, highest + 6 * result.width);

  const auto b = static_cast<Index>(spectra.size());
  std::vector<Vectors<double>> densities;  // of each spectrum without each of the probes, then with all
  for (const LanczosQuadrature* q : spectra) {
    const Vectors<double> each = probe_densities(*q, points, result.width);
    const Vector<double> sum = each.rowwise().sum();
    Vectors<double> means(kPoints, probes + 1);
    for (Index j = 0; j < probes; ++j)
      means.col(j) = (sum - each.col(j)).cwiseMax(0.0) / static_cast<double>(probes - 1);
    means.col(probes) = sum / static_cast<double>(probes);
    densities.push_back(std::move(means));
  }
  result.distances = result.errors = Vectors<double>::Zero(b, b);
  Vector<double> sums = Vector<double>::Zero(probes + 1);
  for (Index i = 0; i < b; ++i)
    for (Index j = 0; j < i; ++j) {
      Vector<double> found(probes + 1);
      for (Index t = 0; t <= probes; ++t)
        found[t] = distance(densities[static_cast<std::size_t>(i)].col(t),
                            densities[static_cast<std::size_t>(j)].col(t));
      sums += found;
      result.distances(i, j) = result.distances(j, i) = found[probes];
      result.errors(i, j) = result.errors(j, i) = jackknife(found.head(probes));
    }
  sums /= static_cast<double>(b * (b - 1)) / 2;
  result.mean = sums[probes];
  result.mean_error = jackknife(sums.head(probes));
  return result;
}

}  // namespace basin
