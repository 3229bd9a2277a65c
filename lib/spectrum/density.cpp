#include "basin/spectrum/density.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <sstream>
#include <string>

#include "basin/linalg/dense.h"
#include "basin/linalg/errors.h"
#include "basin/linalg/orthogonal.h"
#include "basin/linalg/random.h"
#include "basin/linalg/statistics.h"
#include "basin/spectrum/assembled_matrix.h"

namespace basin {
namespace {

/// One probe's recurrence: A V = V T + residual e^T, T tridiagonal.
struct Recurrence {
  Vectors<double> V;  ///< size x steps
  std::vector<double> alpha, beta;
  bool exhausted = false;

  Index steps() const { return static_cast<Index>(alpha.size()); }

  /// Takes A v_j in and appends v_{j+1}.
  void advance(Vector<double> w, double& scale) {
    const Index j = steps();
    scale = std::max(scale, norm(w));
    const Orthonormalised fresh = orthonormalise(V.leftCols(j + 1), w, scale);
    alpha.push_back(fresh.coefficients(j, 0));
    beta.push_back(fresh.rest[0]);
    exhausted = fresh.count == 0;
    if (!exhausted && j + 1 < V.cols()) V.col(j + 1) = w;
  }

  SymmetricEigen ritz(Index m) const {
    Vectors<double> T = Vectors<double>::Zero(m, m);
    for (Index i = 0; i < m; ++i) {
      T(i, i) = alpha[i];
      if (i + 1 < m) T(i + 1, i) = T(i, i + 1) = beta[i];
    }
    return symmetric_eigen(std::move(T), true);
  }

  ProbeRule rule() const {
    const Index m = steps();
    const SymmetricEigen fine = ritz(m), coarse = ritz(std::max<Index>(1, exhausted ? m : 3 * m / 4));
    return {fine.values,
            fine.vectors.row(0).cwiseAbs2().transpose(),
            beta.back() * fine.vectors.row(m - 1).cwiseProduct(fine.vectors.row(0)).transpose(),
            coarse.values,
            coarse.vectors.row(0).cwiseAbs2().transpose(),
            exhausted};
  }
};

/// Probes first, ..., first + count - 1 side by side.
void run_probes(const SelfAdjointOperator& A, const Removal& remove, const QuadratureOptions& options,
                Index first, Index count, LanczosQuadrature& result, const Progress& progress) {
  const Index n = A.rows(), steps = std::min(options.steps, result.size);
  std::vector<Recurrence> probes(count);
  for (Index i = 0; i < count; ++i) {
    Vectors<double> v(n, 1);
    Random(options.seed, "density probe " + std::to_string(first + i)).fill_normal(v);
    remove(v);
    probes[i].V.resize(n, steps);
    probes[i].V.col(0) = v.col(0) / norm(v.col(0));
  }
  double scale = 0;  // the largest |A v| so far
  for (Index step = 0; step < steps; ++step) {
    std::vector<Index> alive;
    for (Index i = 0; i < count; ++i)
      if (!probes[i].exhausted) alive.push_back(i);
    if (alive.empty()) break;
    const auto k = static_cast<Index>(alive.size());
    Vectors<double> V(n, k), AV(n, k);
    for (Index j = 0; j < k; ++j) V.col(j) = probes[alive[j]].V.col(step);
    A.apply(V, AV);
    if (!AV.allFinite())
      throw WorkError("a product of the operator is not finite: its spectrum is not defined");
    if (options.perturbed && first + step == 0)
      result.rounding = product_rounding(A, options.perturbed, V.leftCols(1), AV.leftCols(1))[0];
    remove(AV);
    for (Index j = 0; j < k; ++j) probes[alive[j]].advance(AV.col(j), scale);
    report(progress, first * steps + count * (step + 1), options.probes * steps);
  }
  for (const Recurrence& p : probes) result.probes.push_back(p.rule());
}

/// How much of the vectors of the nodes on one side of x can lie on the other side of it, in norm: for nodes
/// theta_i above x, sum_i sqrt(w_i) E y_i = h(A) E z with E the projector on eigenvalues below x and
/// h(lambda) = sum_i c_i / (lambda - theta_i), so at most sup |h| there. The signs alternate.
double reach(const ProbeRule& rule, double x, bool above) {
  const double width = rule.nodes[rule.nodes.size() - 1] - rule.nodes[0];
  double weight = 0;
  for (Index i = 0; i < rule.nodes.size(); ++i)
    if ((rule.nodes[i] >= x) == above) weight += rule.weights[i];
  if (rule.exhausted || width == 0 || weight == 0) return 0;
  // h is smooth on the other side, on the scale of the distance to its poles.
  double nearest = 2 * width;
  for (Index i = 0; i < rule.nodes.size(); ++i)
    if ((rule.nodes[i] >= x) == above) nearest = std::min(nearest, std::abs(rule.nodes[i] - x));
  double largest = 0;
  for (double step = 0; step <= 2 * width; step = step == 0 ? nearest / 8 : 1.2 * step) {
    if (nearest == 0) return std::sqrt(weight);
    const double lambda = above ? x - step : x + step;
    double h = 0;
    for (Index i = 0; i < rule.nodes.size(); ++i)
      if ((rule.nodes[i] >= x) == above) h += rule.couplings[i] / (lambda - rule.nodes[i]);
    largest = std::max(largest, std::abs(h));
  }
  return std::min(largest, std::sqrt(weight));
}

/// In one probe: the mass below x by the rule, the least and the greatest there can be.
std::array<double, 3> mass_bounds(const ProbeRule& rule, double x) {
  constexpr double kCertain = 0.01;
  double below = 0, open_below = 0, open_above = 0, wrong_side = 0;
  bool found_above = false;
  for (Index i = 0; i < rule.nodes.size(); ++i) {
    const double distance = std::abs(rule.nodes[i] - x), weight = rule.weights[i];
    // |residual| / distance, at most this much of the Ritz vector lies on the other side
    const double leak = weight > 0 ? std::abs(rule.couplings[i]) / std::sqrt(weight) / distance : 0;
    const bool is_below = rule.nodes[i] < x;
    if (is_below) below += weight;
    if (rule.exhausted) continue;
    if (leak <= kCertain) {
      wrong_side += weight * leak * leak;
    } else if (is_below) {
      open_below = weight;  // the last one stays
    } else if (!found_above) {
      open_above = weight;
      found_above = true;
    }
  }
  const double root = std::sqrt(below), over = reach(rule, x, true) + reach(rule, x, false);
  const double least = std::max(below - open_below - wrong_side, std::pow(std::max(0.0, root - over), 2));
  const double greatest = std::min(below + open_above + wrong_side, std::pow(root + over, 2));
  return {below, std::max(0.0, std::min(least, below)), std::min(1.0, std::max(greatest, below))};
}

double coordinate(double lambda, DensityAxis axis, double scale) {
  return axis == DensityAxis::linear ? lambda : std::asinh(lambda / scale);
}

/// sum_i weight_i kernel(u - u_i) and the same of its square.
std::pair<double, double> smoothed(const Vector<double>& u, const Vector<double>& weights, double at,
                                   double width) {
  double sum = 0, squares = 0;
  for (Index i = 0; i < u.size(); ++i) {
    const double z = (at - u[i]) / width, g = std::exp(-z * z / 2) / (width * std::sqrt(2 * M_PI));
    sum += weights[i] * g;
    squares += weights[i] * g * g;
  }
  return {sum, squares};
}

/// A bound on what the quadrature does to a density on points evenly spaced in u: with F the cumulative mass,
/// the error of the density is the integral of kernel' (F - F_rule), and |F - F_rule| is bounded.
Vector<double> truncation_bound(const LanczosQuadrature& quadrature, const DensityCurve& curve, double from,
                                double to) {
  const Index points = curve.eigenvalue.size();
  const double step = (to - from) / static_cast<double>(points - 1), w = curve.width;
  Vector<double> open(points);
  for (Index s = 0; s < points; ++s) {
    const Mass m = mass_below(quadrature, curve.eigenvalue[s]);
    open[s] = 2 * m.truncation;  // at most: both sides together
  }
  Vector<double> bound = Vector<double>::Zero(points);
  for (Index t = 0; t < points; ++t)
    for (Index s = 0; s < points; ++s) {
      const double z = static_cast<double>(t - s) * step / w;
      bound[t] += std::abs(z) * std::exp(-z * z / 2) / (w * w * std::sqrt(2 * M_PI)) * open[s] * step;
    }
  return bound;
}

}  // namespace

double LanczosQuadrature::lowest() const {
  double value = probes.front().nodes[0];
  for (const ProbeRule& p : probes) value = std::min(value, p.nodes[0]);
  return value;
}

double LanczosQuadrature::highest() const {
  double value = probes.front().nodes[0];
  for (const ProbeRule& p : probes) value = std::max(value, p.nodes[p.nodes.size() - 1]);
  return value;
}

LanczosQuadrature lanczos_quadrature(const SelfAdjointOperator& A, const Removal& remove, Index removed,
                                     const QuadratureOptions& options, const Progress& progress) {
  if (options.probes < 1 || options.steps < 1 || options.at_once < 1)
    throw InputError("density: expected at least one probe and one step");
  if (removed >= A.rows()) throw InputError("density: symmetry leaves nothing of the space");
  const Index products_before = A.products();
  LanczosQuadrature result;
  result.size = A.rows() - removed;
  result.removed = removed;
  // As everywhere: where nothing is set aside it is A itself, whatever `remove` would do.
  const Removal nothing = [](VectorsRef<double>) {};
  for (Index first = 0; first < options.probes; first += options.at_once)
    run_probes(A, removed > 0 ? remove : nothing, options, first,
               std::min(options.at_once, options.probes - first), result, progress);
  result.products = A.products() - products_before;
  return result;
}

Mass mass_below(const LanczosQuadrature& quadrature, double x) {
  double low = 0, high = 0, middle = 0;
  for (const ProbeRule& rule : quadrature.probes) {
    const auto [m, l, h] = mass_bounds(rule, x);
    middle += m;
    low += l;
    high += h;
  }
  const auto count = static_cast<double>(quadrature.probes.size());
  low /= count;
  high /= count;
  Mass mass{};
  mass.value = std::clamp(middle / count, low, high);
  mass.truncation = (high - low) / 2;
  if (quadrature.size == 1) {  // one eigenvalue: no noise
    mass.lower = low, mass.upper = high;
    return mass;
  }
  const double independent = count * (static_cast<double>(quadrature.size) + 2) / 2;
  mass.noise = std::sqrt(mass.value * (1 - mass.value) / independent);
  // Rather large: few eigenvalues make a skew distribution (of chi-square kind) for which 1.96 covers a
  // little less than 95 %.
  constexpr double z = 2.5;
  mass.lower = std::clamp(wilson_interval(low, independent, z).lower, 0.0, mass.value);
  mass.upper = std::clamp(wilson_interval(high, independent, z).upper, mass.value, 1.0);
  return mass;
}

double zero_threshold(const LanczosQuadrature& quadrature) {
  return std::max(1e-10 * std::max(std::abs(quadrature.lowest()), std::abs(quadrature.highest())),
                  quadrature.rounding);
}

double resolved_threshold(const LanczosQuadrature& quadrature) {
  constexpr double kSmall = 0.005;
  const double largest = std::max(std::abs(quadrature.lowest()), std::abs(quadrature.highest()));
  double best = largest, least = 1;
  for (double x = 1e-10 * largest; x < 0.2 * largest; x *= 1.5) {
    const double truncation = mass_below(quadrature, -x).truncation;
    if (truncation <= kSmall) return x;
    if (truncation < 0.8 * least) best = x, least = truncation;
  }
  return best;
}

DensityCurve density_curve(const LanczosQuadrature& quadrature, DensityAxis axis, Index points,
                           double width) {
  constexpr double kDecades = 1e-6;  // of the largest magnitude: where a symmetric log axis becomes linear
  DensityCurve curve;
  const double lowest = quadrature.lowest(), highest = quadrature.highest();
  const double largest = std::max(std::abs(lowest), std::abs(highest));
  curve.scale = axis == DensityAxis::linear ? 1 : largest > 0 ? kDecades * largest : 1;
  double from = coordinate(lowest, axis, curve.scale), to = coordinate(highest, axis, curve.scale);
  Index steps = 1;
  for (const ProbeRule& p : quadrature.probes) steps = std::max(steps, p.nodes.size());
  // Two spacings of the grid, which reaches over the range by three widths at either end.
  const double least = 2 * (to - from) / static_cast<double>(std::max<Index>(points - 13, 1));
  if (width > 0 && width < least) {
    std::ostringstream text;
    text << "density width " << width << ": the grid of " << points << " points resolves no less than "
         << least;
    throw InputError(text.str());
  }
  curve.width = width > 0 ? width : std::max((to - from) / static_cast<double>(steps), least);
  if (!(curve.width > 0)) curve.width = largest > 0 && axis == DensityAxis::linear ? 0.01 * largest : 0.01;
  if (axis == DensityAxis::symmetric_log) {  // zero is always asked for
    from = std::min(from, 0.0);
    to = std::max(to, 0.0);
  }
  from -= 3 * curve.width;
  to += 3 * curve.width;

  std::vector<std::pair<Vector<double>, Vector<double>>> fine, coarse;
  const auto transformed = [&](const Vector<double>& nodes) {
    return Vector<double>(nodes.unaryExpr([&](double l) { return coordinate(l, axis, curve.scale); }));
  };
  for (const ProbeRule& p : quadrature.probes) {
    fine.emplace_back(transformed(p.nodes), p.weights);
    coarse.emplace_back(transformed(p.coarse_nodes), p.coarse_weights);
  }
  curve.eigenvalue.resize(points);
  curve.density.resize(points);
  curve.noise.resize(points);
  curve.truncation.resize(points);
  const auto count = static_cast<double>(quadrature.probes.size());
  for (Index t = 0; t < points; ++t) {
    const double u = from + (to - from) * static_cast<double>(t) / static_cast<double>(points - 1);
    double mean = 0, squares = 0, coarse_mean = 0;
    for (const auto& [nodes, weights] : fine) {
      const auto [g, gg] = smoothed(nodes, weights, u, curve.width);
      mean += g / count;
      squares += gg / count;
    }
    for (const auto& [nodes, weights] : coarse)
      coarse_mean += smoothed(nodes, weights, u, curve.width).first / count;
    curve.eigenvalue[t] = axis == DensityAxis::linear ? u : curve.scale * std::sinh(u);
    curve.density[t] = mean;
    // The variance of v^T g(A) v over the sphere.
    curve.noise[t] = std::sqrt(std::max(0.0, 2 * (squares - mean * mean)) /
                               (count * (static_cast<double>(quadrature.size) + 2)));
    curve.truncation[t] = std::abs(mean - coarse_mean);
  }
  if (axis == DensityAxis::symmetric_log) curve.truncation = truncation_bound(quadrature, curve, from, to);
  return curve;
}

double lanczos_quadrature_bytes(Index size, const QuadratureOptions& options) {
  const Index at_once = std::min(options.at_once, options.probes);
  return 8.0 * static_cast<double>(size) * static_cast<double>(at_once * (std::min(options.steps, size) + 4));
}

}  // namespace basin
