#include "basin/ntk/layer_maps.h"

#include <catch2/catch.hpp>

#include "basin/linalg/dense.h"
#include "basin/linalg/errors.h"
#include "basin/linalg/random.h"
#include "basin/ntk/linear_certificate.h"
#include "basin/ntk/network_conditions.h"
#include "support/cases.h"

using namespace basin;
using namespace basin::test;

namespace {

Matrix<double> normal(Random& random, Index rows, Index cols) {
  Matrix<double> a(rows, cols);
  random.fill_normal(a);
  return a;
}

/// Networks of two layers as people have them, small and of all kinds.
struct Draw {
  ModelPoint<double> point;
  std::string words;
};

Draw draw_network(Random& random, const char* kernel) {
  const auto some = [&](Index least, Index most) {
    return least + static_cast<Index>(random.uniform() * static_cast<double>(most - least + 1));
  };
  const auto chance = [&](double p) { return random.uniform() < p; };
  const Index N = some(1, 3), n = some(1, 4), D = some(2, 14), H = some(1, 2), d = some(1, 3), C = some(1, 3);
  const bool causal = chance(0.3), norm = chance(0.6), pool = chance(0.5), labels = C > 1 && chance(0.4),
             masked = n > 1 && chance(0.3), shared = H == 2 && chance(0.3), rotary = d == 2 && chance(0.4);
  const std::string bias = chance(0.5) ? "" : chance(0.5) ? "qkvo" : "qv";
  std::vector<LayerDescription> block = {{"attention",
                                          {{"heads", H},
                                           {"head-dim", d},
                                           {"kernel", kernel},
                                           {"bias", bias},
                                           {"causal", causal},
                                           {"kv-heads", shared ? Index{1} : H},
                                           {"rotary.dimensions", rotary ? d : Index{0}}}}};
  if (norm) block.insert(block.begin(), {"layer-norm"});
  const LayerDescription attention = {"residual", {}, "", block};
  const LayerDescription mlp = {"residual",
                                {},
                                "mlp",
                                {{"linear", {{"outputs", Index{5}}}, "in"},
                                 {"activation", {{"function", "gelu"}}},
                                 {"linear", {{"outputs", D}, {"bias", chance(0.5)}}, "out"}}};
  Architecture a = {.input = {n, D},
                    .layers = {{"repeat", {{"times", Index{2}}}, "blocks", {attention, mlp}}},
                    .loss = {labels ? "cross-entropy" : "squared", {}}};
  if (pool) a.layers.push_back({"pool", {{"by", chance(0.5) ? "mean" : "first"}}});
  a.layers.push_back({"linear", {{"outputs", C}}, "head"});
  Data<double> data = {N, normal(random, N * n, D), {}};
  if (masked) {
    data.mask.assign(static_cast<std::size_t>(N * n), 1);
    for (Index i = 0; i < N; ++i)
      if (chance(0.6)) data.mask[static_cast<std::size_t>(i * n + n - 1)] = 0;
  }
  const Index rows = pool ? N : N * n;
  if (labels) {
    for (Index r = 0; r < rows; ++r)
      data.labels.push_back(masked && !pool && data.mask[static_cast<std::size_t>(r)] == 0
                                ? -1
                                : static_cast<std::int32_t>(some(0, C - 1)));
  } else {
    data.Y = normal(random, rows, C);
  }
  const auto model = build<double>(a, matching_blocks({"*"}, blocks(a)));
  Vector<double> weights = 0.7 * normal(random, model->parameters().weight_count(), 1);
  return {{model, std::move(weights), std::make_shared<Data<double>>(data)},
          std::string(kernel) + ": N " + std::to_string(N) + ", n " + std::to_string(n) + ", D " +
              std::to_string(D) + ", H " + std::to_string(H) + ", d " + std::to_string(d) + ", C " +
              std::to_string(C) + (causal ? ", causal" : "") + (pool ? ", pool" : "") +
              (labels ? ", labels" : "") + (masked ? ", masked" : "") + ", bias " + bias};
}

/// J of a map's blocks, put together from D and X: rows D_i (X_i (x) I).
Matrix<double> jacobian_of(const LayerMaps& layer, const TokenMap& map, const ParameterLayout& parameters) {
  const Index m = map.D.rows(), n = layer.tokens(), N = layer.samples();
  Matrix<double> J = Matrix<double>::Zero(m, 0);
  Index first_column = 0;
  for (const std::string& name : map.blocks) {
    const ParameterBlock& block = parameters.find(name).block;
    const bool shift = block.role == BlockRole::shift, stacked = block.role == BlockRole::stacked_map;
    const Index slices = block.slices(), rows = block.rows(), cols = block.cols();
    const Index columns = J.cols();
    J.conservativeResize(Eigen::NoChange, columns + block.size());
    J.rightCols(block.size()).setZero();
    for (Index i = 0; i < N; ++i)
      for (Index k = 0; k < n; ++k)
        for (Index s = 0; s < slices; ++s)
          for (Index r = 0; r < rows; ++r)
            for (Index c = 0; c < cols; ++c) {
              // y is one vector over all slices; of stacked ones, and of shifts (one row a slice), as they
              // stand
              const Index y = shift ? r * cols + c + s * rows * cols : stacked ? c : s * cols + c;
              const Index x = shift ? map.X.cols() - 1 : stacked ? s * rows + r : r;
              const Index at = columns + (s * rows + r) * cols + c;
              for (Index row = layer.first_row[i]; row < layer.first_row[i + 1]; ++row)
                J(row, at) += map.D(row, k * map.width + y) * map.X(i * n + k, x);
            }
    first_column += block.size();
  }
  REQUIRE(first_column == map.parameters);
  return J;
}

Matrix<double> columns_of(const Linearization<double>& at, const Matrix<double>& J,
                          const std::vector<std::string>& names) {
  Matrix<double> some(J.rows(), 0);
  for (const std::string& name : names) {
    const auto& e = at.parameters().find(name);
    some.conservativeResize(Eigen::NoChange, some.cols() + e.block.size());
    some.rightCols(e.block.size()) = J.middleCols(e.theta_offset, e.block.size());
  }
  return some;
}

/// J = D (X x I) = G J_own, and the conditions decide.
void check_layers(int first, int draws, int enough) {
  int decided = 0, refuted = 0, short_of_rank = 0;
  for (const char* kernel : {"softmax", "gaussian"}) {
    for (int draw = first; draw < first + draws; ++draw) {
      Random random(static_cast<std::uint64_t>(draw), kernel);
      const Draw drawn = draw_network(random, kernel);
      const ModelPoint<double>& point = drawn.point;
      const Linearization<double> at = point.linearize();
      const KernelRows rows = at.loss_facts().centred ? KernelRows::centred : KernelRows::counting;
      if (kernel_size(at, rows) < 1) continue;
      const Matrix<double> J = rows_of_kernel(at, at.jacobian_transposed(), rows).transpose();
      const std::string path = random.uniform() < 0.7   ? "blocks." + std::to_string(draw % 2) + ".attention"
                               : random.uniform() < 0.5 ? "blocks.0.mlp.in"
                                                        : "head";
      INFO(drawn.words << ": " << path);
      const LayerConditions conditions(point, path, rows, true);
      const LayerMaps& layer = conditions.layer();
      REQUIRE(layer.maps.size() == (path.find("attention") == std::string::npos ? 1U : 4U));

      // the Jacobian from what the maps read and what becomes of them
      for (const TokenMap& map : layer.maps) {
        const Matrix<double> expected = columns_of(at, J, map.blocks);
        REQUIRE((jacobian_of(layer, map, at.parameters()) - expected).norm() <=
                1e-12 * (1 + map.D.norm() * map.X.norm()));
      }
      // K = G K_own G^T: G block by block, the derivative in the layer's own outputs
      const ModelPoint<double> own = layer_point(point, path, "own");
      const Linearization<double> own_at = own.linearize();
      const Matrix<double> own_J = own_at.jacobian_transposed().transpose();
      const Matrix<double>& G = layer.maps.back().D;
      Matrix<double> through = Matrix<double>::Zero(J.rows(), own_J.cols());
      const Index size = layer.tokens() * layer.maps.back().width;
      for (Index i = 0; i < layer.samples(); ++i)
        for (Index row = layer.first_row[i]; row < layer.first_row[i + 1]; ++row)
          through.row(row) = G.row(row) * own_J.middleRows(i * size, size);
      std::vector<std::string> blocks;
      for (const std::string& block : own.parameters().trained()) blocks.push_back(path + block.substr(3));
      const Matrix<double> all = columns_of(at, J, blocks);
      REQUIRE((through - all).norm() <= 1e-12 * (1 + G.norm() * own_J.norm()));

      // conditions of each map, and of all
      std::vector<std::vector<std::size_t>> sets;
      std::vector<std::size_t> every;
      for (std::size_t k = 0; k < layer.maps.size(); ++k) sets.push_back({k}), every.push_back(k);
      sets.push_back(every);
      for (const auto& maps : sets) {
        const Matrix<double> part = columns_of(at, J, conditions.blocks(maps));
        const Vector<double> values = singular_values(
            part.rows() <= part.cols() ? Vectors<double>(part.transpose()) : Vectors<double>(part));
        const double least = part.rows() <= part.cols() ? values[part.rows() - 1] : 0, most = values[0];
        const KernelConditions known = conditions.of(maps, at);
        const double rounding = 1e-13 * most + 1e-14 * all.norm();
        CHECK(known.upper_bound >= most * most * (1 - 1e-12));
        CHECK(std::sqrt(known.lower_bound().value) <= least * (1 + 1e-9) + rounding);
        if (known.refuted()) CHECK(least <= rounding);
        // one token has no choice
        const bool scores = maps.size() == 1 && layer.maps[maps[0]].of_scores;
        if (scores && layer.tokens() == 1 && kernel == std::string("softmax")) CHECK(known.refuted());
        refuted += known.refuted() ? 1 : 0;
        if (known.sufficient()) CHECK(known.lower_bound().positive());
        bool independent = false, local = true;
        for (const Condition& c : known.conditions) {
          if (c.name == "rank_X" || c.name == "rank_A") independent = c.holds();
          if (c.name == "rank_local") local = c.holds();
        }
        if (!local) CHECK(least <= 1e-9 * most + 1e-14 * all.norm());
        short_of_rank += local ? 0 : 1;
        // if and only if, once the tokens are linearly independent
        if (independent && local && !known.refuted()) {
          CHECK(least + rounding > std::sqrt(known.lower_bound().value));
          CHECK(known.lower_bound().positive());
          ++decided;
        }
      }
    }
  }
  CHECK(decided > enough);
  CHECK(refuted > enough);
  CHECK(short_of_rank > enough);
}

}  // namespace

TEST_CASE("one layer of a network: its Jacobian from its maps, and what decides", "[many]") {
  check_layers(0, 40, 20);
}

TEST_CASE("one layer of a network: many draws", "[.long]") {
  check_layers(40, 200, 100);
}

TEST_CASE("the last layer alone: K = A A^T x I, and descent at the rate that is proven") {
  Random random(3, "last");
  for (const char* average : {"sum", "elements"}) {
    const Architecture a = {.input = {1, 4},
                            .layers = {{"linear", {{"outputs", Index{9}}}, "in"},
                                       {"activation", {{"function", "tanh"}}},
                                       {"linear", {{"outputs", Index{2}}}, "head"}},
                            .loss = {"squared", {{"average", average}, {"half", false}}}};
    const auto model = build<double>(a, {"head.W", "head.b"});
    const Data<double> data = {5, normal(random, 5, 4), normal(random, 5, 2)};
    ModelPoint<double> point = {model, normal(random, model->parameters().weight_count(), 1),
                                std::make_shared<Data<double>>(data)};
    const Linearization<double> at = point.linearize();
    REQUIRE(trains_last_layer_alone(at.model()));
    const LayerConditions conditions(point, "head", KernelRows::counting, false);
    const KernelMinimum K = conditions.minimum({0}, at).value();
    const KernelMinimum by_jacobian = jacobian_kernel_minimum(at, 1e9);
    CHECK(K.lambda_min == Approx(by_jacobian.lambda_min).epsilon(1e-9));
    CHECK(K.lambda_max == Approx(by_jacobian.lambda_max).epsilon(1e-12));
    CHECK(K.rank == 10);
    const LinearCertificate proven = linear_certificate(at, K).value();
    REQUIRE(proven.passes);
    CHECK(proven.curvature == Approx(std::string(average) == "sum" ? 2 : 0.2));
    double f = at.loss();
    for (int step = 0; step < 20; ++step) {
      const Linearization<double> here = point.linearize();
      point = point.at(point.theta() - proven.step * here.gradient());
      const double next = point.linearize().loss();
      CHECK(next <= proven.rate * f * (1 + 1e-9));
      f = next;
    }
    CHECK_FALSE(trains_last_layer_alone(*point.with_trainable({"in.b", "head.W"}).model));
    CHECK_FALSE(linear_certificate(point.with_trainable({"in.b", "head.W"}).linearize(), K));
  }
  // more rows than it has inputs: singular, by size
  const Architecture wide = {
      .input = {3, 2},
      .layers = {{"activation", {{"function", "tanh"}}}, {"linear", {{"outputs", Index{2}}}, "head"}}};
  const auto model = build<double>(wide, {"head.W", "head.b"});
  const ModelPoint<double> point = {
      model, normal(random, 6, 1),
      std::make_shared<Data<double>>(Data<double>{2, normal(random, 6, 2), normal(random, 6, 2)})};
  const Linearization<double> at = point.linearize();
  const LayerConditions conditions(point, "head", KernelRows::counting, false);
  CHECK(conditions.of({0}, at).refuted());
  CHECK(conditions.minimum({0}, at)->upper == 0);
  CHECK_FALSE(linear_certificate(at, *conditions.minimum({0}, at))->passes);
}

TEST_CASE("layers that have no maps, or of which nothing is trained") {
  Random random(1, "refused");
  const ModelPoint<double> point = draw_network(random, "softmax").point;
  const auto maps = [&](const ModelPoint<double>& at, const char* path) {
    return layer_maps(at, path, KernelRows::counting, false);
  };
  CHECK_THROWS_WITH(maps(point, "blocks.2.attention"),
                    Catch::StartsWith("unknown layer 'blocks.2.attention'; expected one of blocks."));
  CHECK_THROWS_WITH(maps(point.with_trainable({"head.b"}), "blocks.1.attention"),
                    "blocks.1.attention: none of its blocks is trained; add them to --train");
  const Architecture norms = {.input = {2, 3},
                              .layers = {{"layer-norm"}, {"linear", {{"outputs", Index{2}}}}}};
  const auto model = build<double>(norms, {"linear.W"});
  const ModelPoint<double> other = {
      model, normal(random, 14, 1),
      std::make_shared<Data<double>>(Data<double>{1, normal(random, 2, 3), normal(random, 2, 2)})};
  CHECK_THROWS_WITH(maps(other, "layer-norm"),
                    "layer-norm: found a layer of type layer-norm; expected an attention or linear layer "
                    "with weights of its own");
  CHECK(maps(other, "linear").maps.front().name == "W");
}
