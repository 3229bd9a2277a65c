// Attention layers inside a network, against the same attention on the outputs of the network cut off before.
#include "basin/stationary/layer_saturation.h"

#include <catch2/catch.hpp>
#include <cmath>

#include "basin/stationary/valley.h"
#include "support/cases.h"

using namespace basin;
using namespace basin::test;

namespace {

LayerDescription attention(const char* name, const char* kernel, bool causal) {
  return {"attention",
          {{"heads", Index{2}},
           {"head-dim", Index{3}},
           {"kv-heads", Index{1}},
           {"kernel", kernel},
           {"bias", "qk"},
           {"causal", causal}},
          name};
}

/// linear, residual attention in a chain, then a second one in a sum with the identity; the first `count` of
/// these layers.
Architecture network(std::size_t count = 3, bool causal = false, const char* second = "gaussian") {
  Architecture a = {
      .input = {4, 5},
      .layers = {{"linear", {{"outputs", Index{6}}}, "in"},
                 {"residual",
                  {},
                  "",
                  {{"chain", {}, "inner", {{"layer-norm"}, attention("first", "softmax", causal)}}}},
                 {"sum", {}, "both", {{"identity"}, attention("second", second, causal)}}}};
  a.layers.resize(count);
  return a;
}

ModelPoint<double> point_of(const Architecture& a, const Vector<double>& weights, Mask mask = {}) {
  const auto model = build<double>(a, matching_blocks({"*"}, blocks(a)));
  Data<double> data = {3, random_vectors(12, 5, 1), Matrix<double>::Zero(12, 6)};
  data.mask = std::move(mask);
  return {model, weights.head(model->parameters().weight_count()), std::make_shared<Data<double>>(data)};
}

/// Rows of one head by loops: what each leaves, and entropies, in the order of samples and tokens.
struct Row {
  double left, entropy;
  bool counts;
};
std::vector<Row> rows_of(const ModelPoint<double>& p, const std::string& prefix, Index h,
                         const Matrix<double>& x, bool softmax, bool causal) {
  const auto number = [&](const std::string& block, Index i) {
    return p.weights[p.parameters().find(prefix + block).offset + i];
  };
  const Index D = x.cols(), d = 3, n = 4;
  const auto projected = [&](const char* b, Index head, Index row, Index j) {
    double sum = number(std::string("b_") + b, head * d + j);
    for (Index i = 0; i < D; ++i) sum += x(row, i) * number(std::string("W_") + b, (head * D + i) * d + j);
    return sum;
  };
  const auto real = [&](Index row) {
    return p.data->mask.empty() || p.data->mask[static_cast<std::size_t>(row)];
  };
  std::vector<Row> rows;
  for (Index row = 0; row < x.rows(); ++row) {
    std::vector<double> a;
    for (Index other = row - row % n; other < row - row % n + n; ++other) {
      if (!real(other) || (causal && other > row)) continue;
      double score = 0;
      for (Index j = 0; j < d; ++j) {
        const double q = projected("Q", h, row, j), k = projected("K", 0, other, j);
        score += softmax ? q * k / std::sqrt(3.0) : -(q - k) * (q - k) / (2 * std::sqrt(3.0));
      }
      a.push_back(std::exp(score));
    }
    double sum = 0, others = 0, entropy = 0;
    const auto heaviest = std::max_element(a.begin(), a.end());
    for (auto w = a.begin(); w != a.end(); ++w) sum += *w, others += w == heaviest ? 0 : *w;
    for (const double w : a) entropy -= w / sum * std::log(w / sum);
    rows.push_back({softmax ? others / sum : sum,
                    a.size() > 1 ? entropy / std::log(static_cast<double>(a.size())) : kNaN,
                    real(row) && a.size() >= (softmax ? 2U : 1U)});
  }
  return rows;
}

}  // namespace

TEST_CASE("attention inside containers is measured on what comes into it, with masks and causal") {
  const Mask some = {1, 1, 1, 1, 1, 0, 1, 1, 1, 0, 0, 0};
  for (const bool causal : {false, true})
    for (const Mask& mask : {Mask{}, some}) {
      Vector<double> weights = 0.4 * random_vectors(2000, 1, 3);
      const ModelPoint<double> p = point_of(network(3, causal), weights, mask);
      const std::vector<LayerSaturation> found = layer_saturation(p);
      REQUIRE(found.size() == 2);
      CHECK(found[0].layer == "inner.first");
      CHECK(found[1].layer == "both.second");
      for (std::size_t l = 0; l < 2; ++l) {
        const bool softmax = l == 0;
        // what comes in: the outputs of the layers before; the norm in the chain by hand
        Matrix<double> x = point_of(network(l + 1, causal), weights, mask).linearize().outputs();
        if (softmax)
          for (Index row = 0; row < x.rows(); ++row) {
            const auto& g = p.parameters().find("inner.layer-norm.g");
            const Vector<double> c = x.row(row).transpose().array() - x.row(row).mean();
            const double s = std::sqrt(c.squaredNorm() / 6 + 1e-5);
            for (Index j = 0; j < 6; ++j)
              x(row, j) = c[j] / s * weights[g.offset + j] + weights[g.offset + 6 + j];
          }
        Index count = 0, saturated = 0, choices = 0;
        double entropy = 0, left = kInfinity;
        Index head = 0, sample = 0, token = 0;
        for (Index h = 0; h < 2; ++h) {
          const auto rows = rows_of(p, found[l].layer + ".", h, x, softmax, causal);
          for (std::size_t r = 0; r < rows.size(); ++r) {
            if (!rows[r].counts) continue;
            ++count, saturated += rows[r].left < 1e-3 ? 1 : 0;
            if (!std::isnan(rows[r].entropy)) ++choices, entropy += rows[r].entropy;
            if (rows[r].left < left) {
              left = rows[r].left;
              head = h, sample = static_cast<Index>(r) / 4, token = static_cast<Index>(r) % 4;
            }
          }
        }
        CAPTURE(causal, mask.size(), l);
        CHECK(found[l].saturated == Approx(static_cast<double>(saturated) / static_cast<double>(count)));
        CHECK(found[l].entropy == Approx(entropy / static_cast<double>(choices)).epsilon(1e-11));
        CHECK(found[l].left == Approx(left).epsilon(1e-9));
        CHECK((found[l].head == static_cast<double>(head) && found[l].sample == static_cast<double>(sample) &&
               found[l].token == static_cast<double>(token)));
      }
    }
}

TEST_CASE("rows without a choice are in no share; what fades is the sign of a limit, layer by layer") {
  // causal, with one real token in each sample: no row of softmax has a choice
  const Mask first = {1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0};
  const Vector<double> weights = 0.4 * random_vectors(2000, 1, 3);
  const auto lone = layer_saturation(point_of(network(3, true), weights, first));
  CHECK((std::isnan(lone[0].saturated) && std::isnan(lone[0].left) && std::isnan(lone[0].entropy)));
  CHECK(!std::isnan(lone[1].saturated));  // a Gaussian weight may vanish alone
  CHECK(std::isnan(lone[1].entropy));
  for (const bool softmax : {true, false}) {
    const ModelPoint<double> p = point_of(network(3, false, softmax ? "softmax" : "gaussian"), weights);
    const NetworkTheory theory(p);
    ModelPoint<double> far = p;
    const auto& q = p.parameters().find(softmax ? "inner.first.W_Q" : "both.second.W_Q");
    far.weights.segment(q.offset, q.block.size()) *= softmax ? 300 : 30;
    const Extent now = extent_of(theory, far), before = extent_of(theory, p);
    CHECK(now.layers[softmax ? 0 : 1].left < 1e-8);
    CHECK(now.layers[softmax ? 0 : 1].saturated > before.layers[softmax ? 0 : 1].saturated);
    CHECK(valley_of(theory, far, now, &before) == (softmax ? Valley::saturated : Valley::vanished));
    CHECK(is_faint(now));
    CHECK_FALSE(is_faint(before));
    CHECK(valley_of(theory, p, before, &before) == Valley::none);
  }
}

TEST_CASE("rows that no counted output depends on are not measured, nor is attention that stands still") {
  const Vector<double> weights = 0.4 * random_vectors(2000, 1, 3);
  const auto counted = [](const LayerSaturation& l) {
    std::vector<Index> rows;  // of head 0
    for (Index row = 0; row < l.rows.size() / 2; ++row)
      if (!std::isnan(l.rows[row])) rows.push_back(row);
    return rows;
  };
  // behind a pool of first tokens the last attention has these alone; the first one all, as the last sees
  // them
  Architecture pooled = network(3, false, "softmax");
  pooled.layers.push_back({"pool", {{"by", "first"}}});
  auto model = build<double>(pooled, matching_blocks({"*"}, blocks(pooled)));
  Data<double> data = {3, random_vectors(12, 5, 1), Matrix<double>::Zero(3, 6)};
  data.mask = {1, 1, 1, 1, 0, 1, 1, 1, 1, 0, 1, 0};
  const ModelPoint<double> first = {model, weights.head(model->parameters().weight_count()),
                                    std::make_shared<Data<double>>(data)};
  auto layers = layer_saturation(first);
  CHECK(counted(layers[0]) == std::vector<Index>{0, 1, 2, 3, 5, 6, 7, 8, 10});
  CHECK(counted(layers[1]) == std::vector<Index>{0, 5, 8});
  for (const LayerSaturation& l : layers)  // the least of the rows that count, where it says
    CHECK(l.left == l.rows[(static_cast<Index>(l.head) * 3 + static_cast<Index>(l.sample)) * 4 +
                           static_cast<Index>(l.token)]);
  // causal, with a class token before: what counts is that, and it sees itself alone
  Architecture causal = network(3, true, "softmax");
  causal.layers.insert(causal.layers.begin() + 1, LayerDescription{"class-token", {}, "class"});
  causal.layers.push_back({"pool", {{"by", "first"}}});
  model = build<double>(causal, matching_blocks({"*"}, blocks(causal)));
  layers = layer_saturation(
      {model, weights.head(model->parameters().weight_count()), std::make_shared<Data<double>>(data)});
  CHECK((std::isnan(layers[0].left) && std::isnan(layers[1].saturated)));

  // which blocks move which attention
  const ModelPoint<double> p = point_of(network(3, false, "softmax"), weights);
  for (const auto& [blocks, moves] :
       {std::pair{std::vector<std::string>{"both.second.W_O", "both.second.W_V"}, std::pair{false, false}},
        {{"both.second.b_Q"}, {false, true}},
        {{"inner.first.W_O"}, {false, true}},
        {{"inner.layer-norm.g"}, {true, true}},
        {{"in.b"}, {true, true}}}) {
    layers = layer_saturation(p.with_trainable(blocks));
    CAPTURE(blocks.front());
    CHECK(std::isnan(layers[0].left) != moves.first);
    CHECK(std::isnan(layers[1].left) != moves.second);
  }
}

TEST_CASE("attention that was saturated at the start is no way to infinity; the row that fades is named") {
  const Vector<double> weights = 0.4 * random_vectors(2000, 1, 3);
  const ModelPoint<double> p = point_of(network(3, false, "softmax"), weights);
  const NetworkTheory theory(p);
  Extent start = extent_of(theory, p), now = start;
  for (Extent* e : {&start, &now}) {
    e->layers[0].rows[5] = 1e-100;  // all the time
    e->layers[0].show(5);
  }
  CHECK(valley_of(theory, p, now, &start) == Valley::none);
  now.layers[0].rows[14] = 1e-12;  // head 1, sample 0, token 2
  CHECK(valley_of(theory, p, now, &start) == Valley::saturated);
  Extent before = start;
  show_what_fades(before, now);
  CHECK(now.layers[0].left == 1e-12);
  CHECK(before.layers[0].left == start.layers[0].rows[14]);
  CHECK((now.layers[0].head == 1 && now.layers[0].sample == 0 && now.layers[0].token == 2));
  // what came to rounding in the descent is compared with the start, all else with the end of the descent
  before = start;
  before.layers[0].rows[14] = now.layers[0].rows[14] = 1e-20;
  before.layers[0].rows[15] = now.layers[0].rows[15] = 1e-10;
  CHECK(valley_of(theory, p, now, &before) == Valley::none);
  const Extent since = history(start, before);
  CHECK(fading_row(now.layers[0], &since.layers[0]) == 14);
}
