/// The numbers of a linearization against 33 digits, and their errors against those that perturbed
/// points show: random problems on which one token, feature or head could cost another its digits.
#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>

#include "basin/model/perturbation.h"
#include "support/cases.h"
#include "support/exact.h"

#include <catch2/catch.hpp>

using namespace basin;
using namespace basin::test;

namespace {

constexpr double kSlack = 16;  // on what the rounding of inputs makes of a number: sums of dozens of terms
constexpr double kUnderflow = 1e-290;  // weights below 3e-308 are zero; what multiplies them is below 1e18

struct Draw {
  AttentionSpec spec;
  Vector<double> weights;
  Data<double> data;

  auto block(Index b) {
    const Index size = spec.heads * spec.embedding * spec.head_dim;
    return weights.segment(b * size, b < 3 ? size : spec.heads * spec.head_dim * spec.outputs);
  }
  ModelPoint<double> point() const {
    return {build_single_attention<double>(spec), weights, std::make_shared<const Data<double>>(data)};
  }
};

Draw generic(Random& random, KernelKind kernel) {
  const auto one_to = [&](Index most) {
    return 1 + static_cast<Index>(random.uniform() * static_cast<double>(most));
  };
  Draw p;
  p.spec = {one_to(4), one_to(3), one_to(2), one_to(2), one_to(2), kernel};
  const AttentionSpec& s = p.spec;
  p.data.samples = one_to(2);
  p.data.X.resize(p.data.samples * s.tokens, s.embedding);
  p.data.Y.resize(p.data.X.rows(), s.outputs);
  p.weights.resize(s.heads * s.head_dim * (3 * s.embedding + s.outputs));
  random.fill_normal(p.data.X), random.fill_normal(p.data.Y), random.fill_normal(p.weights);
  return p;
}

double power(Random& random, double low, double high) {
  return std::pow(10.0, low + (high - low) * random.uniform());
}

/// Keys near queries, which the Gaussian kernel sees.
void bring_together(Draw& p, Random& random, double distance) {
  for (Index i = 0; i < p.block(1).size(); ++i)
    p.block(1)[i] = p.block(0)[i] * (1 + distance * (2 * random.uniform() - 1));
}

struct Family {
  const char* name;
  std::function<void(Draw&, Random&)> change;
};

const std::vector<Family> kFamilies = {
    {"generic", [](Draw&, Random&) {}},
    {"tokens of mixed norms",
     [](Draw& p, Random& random) {
       for (Index row = 0; row < p.data.X.rows(); ++row) p.data.X.row(row) *= power(random, -3, 4);
       if (random.uniform() < 0.7) bring_together(p, random, power(random, -6, -2));
       if (random.uniform() < 0.5) p.block(0) *= power(random, -4, 0), p.block(1) *= power(random, -4, 0);
     }},
    {"features of mixed sizes",
     [](Draw& p, Random& random) {
       for (Index i = 0; i < p.data.X.cols(); ++i) p.data.X.col(i) *= power(random, -3, 4);
       if (random.uniform() < 0.7) bring_together(p, random, power(random, -6, -2));
     }},
    {"weights of mixed sizes",
     [](Draw& p, Random& random) {
       for (Index i = 0; i < p.weights.size(); ++i) p.weights[i] *= power(random, -4, 1);
     }},
    {"offset of 1e5",
     [](Draw& p, Random& random) {
       p.data.X.array() += 1e5;
       bring_together(p, random, power(random, -7, -5));
     }},
    {"duplicate tokens",
     [](Draw& p, Random&) {
       for (Index row = 0; row < p.data.X.rows(); ++row)
         p.data.X.row(row) = p.data.X.row(row - row % p.spec.tokens);
     }},
    {"saturation", [](Draw& p, Random& random) { p.block(0) *= power(random, 0.5, 2); }},
    {"saturation, values of mixed sizes",
     [](Draw& p, Random& random) {
       p.block(0) *= power(random, 0.5, 2);
       for (Index row = 0; row < p.data.X.rows(); ++row) p.data.X.row(row) *= power(random, -1, 1);
     }},
    {"far keys", [](Draw& p, Random& random) { p.weights *= power(random, 0, 1); }},
};

/// Outputs, gradient, J v, J^T u, H v.
std::vector<Vector<double>> products(const ModelPoint<double>& point, const Vectors<double>& v,
                                     const Vectors<double>& u) {
  const Linearization<double> at = point.linearize();
  Vectors<double> Jv(u.rows(), 1), Jtu(v.rows(), 1), Hv(v.rows(), 1);
  at.jvp(v, Jv), at.vjp(u, Jtu), at.hessian(v, Hv);
  return {Eigen::Map<const Vector<double>>(at.outputs().data(), u.rows()), at.gradient(), Jv.col(0),
          Jtu.col(0), Hv.col(0)};
}

std::vector<std::vector<Quad>> exact(const Draw& p, const ModelPoint<double>& point, const Vectors<double>& v,
                                     const Vectors<double>& u, const std::vector<Quad>& factors = {}) {
  const ExactProducts e = exact_products(p.spec, point.weights, *point.data, v, u, factors);
  return {e.outputs, e.gradient, e.jvp, e.vjp, e.hessian};
}

Quad size(Quad x) {
  return x < 0 ? -x : x;
}

/// What a family's draws have shown.
struct Figures {
  double of_condition =
      0;  ///< the largest error of a number, relative to what its inputs' rounding makes of it
  Index bounds = 0, violated = 0;      ///< allowances from perturbed points, for each vector
  std::vector<double> width_to_error;  ///< allowances relative to errors
};

/// The change of each number as the inputs move by some eps, and, by more, the weights of attention: the
/// largest of some random ones, of the exact numbers.
std::vector<std::vector<Quad>> conditions(const Draw& p, const Vectors<double>& v, const Vectors<double>& u,
                                          const std::vector<std::vector<Quad>>& truth, Random& random) {
  // Exponents of the Gaussian kernel may be off by some 64 eps where squares are expanded (tile_kernels.h).
  const double of_weights = (p.spec.kernel == KernelKind::softmax ? 8 : 128) * kEps;
  std::vector<std::vector<Quad>> largest(truth.size());
  const ModelPoint<double> point = p.point();
  for (std::uint64_t index = 0; index < 6; ++index) {
    std::vector<Quad> factors(p.data.X.rows() * p.spec.heads * p.spec.tokens);
    for (Quad& f : factors) f = 1 + of_weights * (2 * random.uniform() - 1);
    const auto moved = exact(p, point.perturbed(index), v, u, factors);
    for (std::size_t k = 0; k < truth.size(); ++k) {
      largest[k].resize(truth[k].size(), 0);
      for (std::size_t i = 0; i < truth[k].size(); ++i)
        largest[k][i] = std::max(largest[k][i], size(moved[k][i] - truth[k][i]));
    }
  }
  return largest;
}

void measure(const Family& family, KernelKind kernel, std::uint64_t seed, Figures& figures) {
  Random random(seed, family.name);
  Draw p = generic(random, kernel);
  family.change(p, random);
  const Vectors<double> v = random_vectors(p.weights.size(), 1, seed);
  const Vectors<double> u = random_vectors(p.data.Y.size(), 1, seed);
  const ModelPoint<double> point = p.point();
  const std::vector<Vector<double>> found = products(point, v, u);
  const auto truth = exact(p, point, v, u);
  const auto condition = conditions(p, v, u, truth, random);
  std::vector<double> error(truth.size()), shown(truth.size());
  for (std::size_t k = 0; k < truth.size(); ++k)
    for (std::size_t i = 0; i < truth[k].size(); ++i) {
      const auto off = static_cast<double>(size(truth[k][i] - found[k][static_cast<Index>(i)]));
      const auto allowed = static_cast<double>(condition[k][i] + kEps * size(truth[k][i]));
      figures.of_condition = std::max(figures.of_condition, off / (allowed + kUnderflow));
      error[k] = std::hypot(error[k], off);
    }
  const std::uint64_t count = perturbations(p.weights.size() * p.data.Y.size());
  for (std::uint64_t index = 0; index < count; ++index) {
    const std::vector<Vector<double>> other =
        products(point.perturbed(index), perturbed(v, 2 * index), perturbed(u, 2 * index + 1));
    for (std::size_t k = 0; k < found.size(); ++k)
      shown[k] = std::max(shown[k], 4 * (other[k] - found[k]).stableNorm());
  }
  for (std::size_t k = 0; k < truth.size(); ++k) {
    ++figures.bounds;
    if (error[k] > shown[k] + kUnderflow) {
      ++figures.violated;
      UNSCOPED_INFO(family.name << ", seed " << seed << ", vector " << k << ": error " << error[k]
                                << ", allowance " << shown[k]);
    }
    if (error[k] > kUnderflow) figures.width_to_error.push_back(shown[k] / error[k]);
  }
}

void check(std::uint64_t draws) {
  for (const KernelKind kernel : {KernelKind::softmax, KernelKind::gaussian}) {
    std::vector<double> width_to_error;
    for (const Family& family : kFamilies) {
      Figures figures;
      for (std::uint64_t seed = 0; seed < draws; ++seed) measure(family, kernel, seed, figures);
      INFO(kernel_name(kernel) << ", " << family.name << ": largest error " << figures.of_condition
                               << " of what inputs make of it, " << figures.violated << " of "
                               << figures.bounds << " allowances violated");
      CHECK(figures.of_condition <= kSlack);
      CHECK(figures.violated == 0);
      width_to_error.insert(width_to_error.end(), figures.width_to_error.begin(),
                            figures.width_to_error.end());
    }
    std::sort(width_to_error.begin(), width_to_error.end());
    CHECK(width_to_error[width_to_error.size() / 2] <= 100);
  }
}

}  // namespace

TEST_CASE("no token, feature or head costs another its digits, and perturbed points show what is lost") {
  check(5);
}
