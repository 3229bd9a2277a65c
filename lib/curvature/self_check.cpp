#include "basin/curvature/self_check.h"

#include <algorithm>
#include <cmath>

#include "basin/curvature/network_generators.h"
#include "basin/curvature/network_graph.h"
#include "basin/linalg/random.h"

namespace basin {

SelfCheck self_check(const Linearization<double>& at, std::uint64_t seed) {
  const ModelPoint<double>& point = at.point();
  const ParameterLayout& parameters = point.parameters();
  const NetworkGraph graph = network_graph(point);
  const Index C = point.model->network().output().width;
  const Visibility seen(point, graph, zero(C, 0));

  SelfCheck check;
  Vector<double> t = Vector<double>::Zero(parameters.weight_count()), g = t, turned = t;
  parameters.insert(at.gradient(), g);
  Random random(seed, "self-check");
  for (const TangentGenerator& generator : network_generators(seen, true)) {
    Vector<double> c(generator.size()), part = Vector<double>::Zero(t.size());
    random.fill_normal(c);
    generator.add(point.weights, c.data(), part);
    const double length = part.stableNorm();
    if (!(length > 0)) continue;
    c /= length;
    t += part / length;
    generator.add_derivative(point.weights, c.data(), g, turned);
    check.tangents += generator.size();
    add_row(check.families, generator.family, generator.size());
  }
  if (check.tangents == 0) return check;
  const Index P = at.theta_size();
  Vectors<double> V(P, 2), HV(P, 2);
  Vector<double> v(P);
  random.fill_normal(v);
  V.col(0) = parameters.extract(t);
  V.col(1) = v;
  at.hessian(V, HV);
  const Vector<double> expected = -parameters.extract(turned);
  const Vector<double>& gradient = at.gradient();
  const double length = V.col(0).stableNorm();
  const double curvature = HV.col(1).stableNorm() / v.stableNorm();  // typical
  check.orthogonality =
      std::abs(gradient.dot(V.col(0))) /
      std::max(length * (gradient.stableNorm() + point.theta().stableNorm() * curvature), 1e-300);
  check.identity = (HV.col(0) - expected).stableNorm() /
                   std::max(HV.col(0).stableNorm() + expected.stableNorm() + length * curvature, 1e-300);
  return check;
}

}  // namespace basin
