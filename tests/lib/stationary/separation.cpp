#include "basin/stationary/separation.h"

#include <catch2/catch.hpp>

#include "basin/linalg/random.h"
#include "basin/model/labels.h"
#include "basin/model/row_copies.h"
#include "basin/stationary/classify.h"
#include "support/cases.h"

using namespace basin;
using namespace basin::test;

namespace {

Architecture classifier(Index C = 3) {
  return {.input = {2, 4},
          .layers = {{"linear", {{"outputs", Index{6}}}, "in"},
                     {"activation", {{"function", "tanh"}}},
                     {"linear", {{"outputs", C}}, "head"}},
          .loss = {"cross-entropy", {}}};
}

ModelPoint<double> point_of(const Architecture& a, const std::vector<std::string>& trained, int draw,
                            bool right) {
  const auto model = build<double>(a, matching_blocks(trained, blocks(a)));
  const auto seed = static_cast<unsigned>(draw);
  Data<double> data = {4, random_vectors(8, 4, 100 + seed), {}};
  data.labels.assign(8, 0);
  ModelPoint<double> x = {model, random_vectors(model->parameters().weight_count(), 1, 200 + seed),
                          std::make_shared<Data<double>>(data)};
  const Matrix<double> F = x.linearize().outputs();
  for (Index row = 0; row < 8; ++row) {
    Index best = 0;
    F.row(row).maxCoeff(&best);
    data.labels[static_cast<std::size_t>(row)] = static_cast<std::int32_t>(best);
  }
  if (!right) data.labels[5] = (data.labels[5] + 1) % static_cast<std::int32_t>(F.cols());
  data.labels[2] = -1;  // counts for nothing
  x.data = std::make_shared<Data<double>>(data);
  return x;
}

}  // namespace

TEST_CASE("where every row is in its class the loss falls along the last layer, to 0") {
  for (int draw = 0; draw < 20; ++draw) {
    const ModelPoint<double> x = point_of(classifier(2 + draw % 3), {"*"}, draw, true);
    const Linearization<double> at = x.linearize();
    const Separation s = separation_at(at);
    REQUIRE(s.holds());
    // by hand
    double least = kInfinity;
    const Matrix<double> F = at.outputs();
    for (Index row = 0; row < 8; ++row) {
      const auto y = x.data->labels[static_cast<std::size_t>(row)];
      if (y < 0) continue;
      for (Index c = 0; c < F.cols(); ++c)
        if (c != y) least = std::min(least, F(row, y) - F(row, c));
    }
    CHECK(s.margin == Approx(least).epsilon(1e-14));
    CHECK(s.error < 1e-12 * F.cwiseAbs().maxCoeff());
    double before = at.loss();
    for (const double t : {1.5, 3.0, 10.0, 1000.0}) {
      ModelPoint<double> further = x;
      for (const char* name : {"head.W", "head.b"}) {
        const auto& e = x.parameters().find(name);
        further.weights.segment(e.offset, e.block.size()) *= t;
      }
      const double loss = further.linearize().loss();
      CHECK((loss < before || loss == 0));
      CHECK(loss <=
            7 * std::log1p(static_cast<double>(F.cols() - 1) * std::exp(-t * s.margin)) * (1 + 1e-12));
      before = loss;
    }
  }
}

TEST_CASE(
    "margins decide nothing where a row is elsewhere, or the last layer is not trained or not its own") {
  CHECK_FALSE(separation_at(point_of(classifier(), {"*"}, 1, false).linearize()).holds());
  CHECK(separation_at(point_of(classifier(), {"*"}, 1, false).linearize()).margin < 0);
  for (const std::vector<std::string>& trained :
       {std::vector<std::string>{"in.*"}, {"head.W"}, {"head.b", "in.W"}})
    CHECK(std::isnan(separation_at(point_of(classifier(), trained, 1, true).linearize()).margin));
  CHECK(separation_at(point_of(classifier(), {"head.*"}, 1, true).linearize()).holds());
  Architecture other = classifier();
  other.layers.push_back({"activation", {{"function", "tanh"}}});
  CHECK(std::isnan(separation_at(point_of(other, {"*"}, 1, true).linearize()).margin));
  Architecture squared = classifier();
  squared.loss = {};
  const auto model = build<double>(squared, matching_blocks({"*"}, blocks(squared)));
  const ModelPoint<double> numbers = {
      model, random_vectors(model->parameters().weight_count(), 1, 3),
      std::make_shared<Data<double>>(Data<double>{4, random_vectors(8, 4, 1), random_vectors(8, 3, 2)})};
  CHECK(std::isnan(separation_at(numbers.linearize()).margin));
}

TEST_CASE("a point where classes are separated is a valley to the infimum, whatever its gradient") {
  for (const double scale : {1.0, 30.0}) {  // of the last layer: near 0 and far along
    ModelPoint<double> x = point_of(classifier(), {"*"}, 3, true);
    for (const char* name : {"head.W", "head.b"}) {
      const auto& e = x.parameters().find(name);
      x.weights.segment(e.offset, e.block.size()) *= scale;
    }
    const ModelLoss loss = {.point = x, .theory = std::make_shared<NetworkTheory>(x)};
    ModelObjective f = loss.objective();
    const StationaryPoint p = classify(loss, f, *f.at(x.theta()));
    CHECK(p.kind == PointKind::valley);
    CHECK(p.valley == Valley::separated);
    CHECK(p.separation.holds());
    CHECK_FALSE(p.curvature.known());
  }
}

TEST_CASE("labels that contradict each other bound the loss by their entropy") {
  Architecture a = classifier();
  const auto model = build<double>(a, matching_blocks({"*"}, blocks(a)));
  Data<double> data = {4, random_vectors(8, 4, 1), {}};
  data.X.bottomRows(4) = data.X.topRows(4);  // samples 2 and 3 are 0 and 1
  data.labels = {0, 1, 2, 2, 0, 2, 1, -1};
  ModelPoint<double> x = {model, random_vectors(model->parameters().weight_count(), 1, 3),
                          std::make_shared<Data<double>>(data)};
  // of 7 rows that count two pairs disagree
  CHECK(least_loss_of_labels(x) == Approx(4 * std::log(2.0) / 7).epsilon(1e-14));
  a.loss.options["average"] = std::string("sum");
  x.model = build<double>(a, matching_blocks({"*"}, blocks(a)));
  CHECK(least_loss_of_labels(x) == Approx(4 * std::log(2.0)).epsilon(1e-14));
  a.loss.options["average"] = std::string("samples");
  x.model = build<double>(a, matching_blocks({"*"}, blocks(a)));
  CHECK(least_loss_of_labels(x) == Approx(std::log(2.0)).epsilon(1e-14));
  data.labels = {0, 1, 2, 2, 0, 1, 2, -1};
  x.data = std::make_shared<Data<double>>(data);
  CHECK(least_loss_of_labels(x) == 0);
  // descent cannot pass it, and gets there with as many units as it takes
  data.labels = {0, 1, 2, 2, 0, 2, 1, -1};
  x.data = std::make_shared<Data<double>>(data);
  CHECK(x.linearize().loss() > least_loss_of_labels(x));
}
