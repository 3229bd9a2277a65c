#include "basin/curvature/balanced_point.h"

#include <algorithm>
#include <catch2/catch.hpp>

#include "basin/curvature/network_generators.h"
#include "basin/curvature/network_graph.h"
#include "basin/curvature/network_symmetries.h"
#include "basin/linalg/dense.h"
#include "basin/linalg/random.h"
#include "basin/model/linearization.h"
#include "support/random_network.h"

using namespace basin;
using namespace basin::test;

namespace {

/// Where a random element of the group takes the point: the flow along random members of all known families,
/// by Runge-Kutta steps, which knows nothing of exponentials.
ModelPoint<double> equivalent(const ModelPoint<double>& p, std::uint64_t seed) {
  constexpr int kSteps = 200;
  const NetworkGraph graph = network_graph(p);
  const Visibility seen(p, graph, zero(p.model->network().output().width, 0));
  Random random(seed, "group element");
  std::vector<TangentGenerator> generators = network_generators(seen, false);
  std::vector<Vector<double>> coefficients;
  for (const TangentGenerator& g : generators) {
    Vector<double> c(g.size()), t = Vector<double>::Zero(p.weights.size());
    random.fill_normal(c);
    g.add(p.weights, c.data(), t);
    coefficients.push_back(c * (0.1 * p.weights.norm() / std::max(t.norm(), 1e-300)));
  }
  const auto velocity = [&](const Vector<double>& w) {
    Vector<double> t = Vector<double>::Zero(w.size());
    for (std::size_t k = 0; k < generators.size(); ++k) generators[k].add(w, coefficients[k].data(), t);
    return t;
  };
  Vector<double> w = p.weights;
  constexpr double h = 1.0 / kSteps;
  for (int step = 0; step < kSteps; ++step) {
    const Vector<double> a = velocity(w), b = velocity(w + h / 2 * a), c = velocity(w + h / 2 * b),
                         d = velocity(w + h * c);
    w += h / 6 * (a + 2 * b + 2 * c + d);
  }
  return p.at_weights(w);
}

/// The eigenvalues on the complement of the tangents.
Vector<double> reduced_spectrum(const ModelPoint<double>& p, Index& modes) {
  const Index P = p.theta_size();
  Vectors<double> H(P, P), N = Vectors<double>::Identity(P, P);
  p.linearize().hessian(N, H);
  const std::optional<Symmetries> s = network_symmetries(p, 4000);
  REQUIRE(s);
  modes = s->modes();
  s->remove(N);
  const SymmetricEigen e = symmetric_eigen(N, true);
  const Vectors<double> Q = e.vectors.rightCols(P - modes);
  const Vectors<double> R = Q.transpose() * H * Q;
  return symmetric_eigen((R + R.transpose()) / 2, false).values;
}

BalancedPoint balance(const ModelPoint<double>& p) {
  const std::optional<Symmetries> all = network_symmetries(p, 4000);
  REQUIRE(all);
  return balanced_point(p, all->modes());
}

/// Whether equivalent points have the same spectrum once they are balanced. False where nothing was compared.
bool check_balanced(std::uint64_t seed) {
  const RandomNetwork network = random_network(seed);
  const ModelPoint<double>& p = network.point;
  const ModelPoint<double> q = equivalent(p, seed);
  const double loss = p.linearize().loss();
  CAPTURE(seed, network.description, loss);
  if (std::abs(q.linearize().loss() - loss) > 1e-9 * loss) return false;
  const BalancedPoint a = balance(p), b = balance(q);
  CAPTURE(a.kept, b.kept, (q.weights - p.weights).norm() / p.weights.norm(), a.distance);
  CHECK(a.point.linearize().loss() == Approx(loss).epsilon(1e-9));
  CHECK(b.point.linearize().loss() == Approx(loss).epsilon(1e-9));
  if (!a.kept.empty() || !b.kept.empty()) return false;
  Index modes_a = 0, modes_b = 0;
  const Vector<double> of_a = reduced_spectrum(a.point, modes_a), of_b = reduced_spectrum(b.point, modes_b);
  CHECK(a.point.weights.norm() == Approx(b.point.weights.norm()).epsilon(1e-7));
  REQUIRE(modes_a == modes_b);
  CHECK((of_a - of_b).cwiseAbs().maxCoeff() <= 1e-7 * of_a.cwiseAbs().maxCoeff());
  return true;
}

}  // namespace

TEST_CASE("equivalent points have the same reduced spectrum where they are balanced") {
  for (const std::uint64_t seed : {1, 9, 26, 60}) CHECK(check_balanced(seed));
}

TEST_CASE("the same of many random networks, where no family is kept", "[many]") {
  Index compared = 0;
  for (std::uint64_t seed = 0; seed < 61; ++seed) compared += check_balanced(seed) ? 1 : 0;
  CHECK(compared >= 18);
}

TEST_CASE("a point that is balanced stays where it is") {
  const ModelPoint<double> p = random_network(9).point;
  const BalancedPoint once = balance(p), twice = balance(once.point);
  CHECK(once.distance > 0.1 * p.theta().norm());
  CHECK(once.folded > 0);
  CHECK(once.folded == p.theta_size() - once.point.theta_size());
  CHECK(twice.distance <= 1e-12 * p.theta().norm());
  CHECK(twice.folded == 0);
}
