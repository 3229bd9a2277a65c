#include "basin/curvature/pseudo_symmetries.h"

#include "basin/curvature/network_generators.h"
#include "basin/curvature/network_graph.h"

namespace basin {

std::vector<PseudoSymmetry> pseudo_symmetries(const Linearization<double>& at, const Symmetries& symmetries) {
  constexpr double kInside = 1e-6;  // of the length of a tangent, outside the symmetries
  const ModelPoint<double>& point = at.point();
  std::vector<PseudoSymmetry> found;
  const std::optional<NetworkGraph> graph = moderate_network_graph(point);
  if (!graph) return found;
  const Visibility seen(point, *graph, Vectors<double>::Zero(point.model->network().output().width, 0));
  for (const TangentGenerator& g : broken_generators(seen)) {
    const Vector<double> one = Vector<double>::Ones(g.size());
    Vector<double> all = Vector<double>::Zero(point.weights.size());
    g.add(point.weights, one.data(), all);
    Vectors<double> t = point.parameters().extract(all), Ht(t.rows(), 1), Gt(t.rows(), 1);
    const double length = t.stableNorm();
    symmetries.remove(t);
    if (!(t.stableNorm() > kInside * length)) continue;
    t /= t.stableNorm();
    at.hessian(t, Ht);
    at.gauss_newton(t, Gt);
    found.push_back({"scale of the stream that " + g.terms.front().target.entry->block.name + " writes to",
                     t.col(0).dot(Gt.col(0)), t.col(0).dot(Ht.col(0))});
  }
  return found;
}

}  // namespace basin
