#include "basin/problem/network_data.h"

#include <algorithm>
#include <catch2/catch.hpp>

#include "basin/linalg/errors.h"
#include "basin/model/labels.h"
#include "basin/model/linearization.h"
#include "basin/problem/drawn_data.h"

using namespace basin;

namespace {

/// Ids of 5 tokens, pooled where that is said, to 3 classes.
Architecture classifier(bool pooled) {
  Architecture a = {.input = {4, 0}, .vocabulary = 5, .token_types = 2};
  a.layers.push_back({"embedding", {{"width", Index{6}}, {"vocabulary", Index{5}}, {"types", Index{2}}}});
  if (pooled) a.layers.push_back({"pool"});
  a.layers.push_back({"linear", {{"outputs", Index{3}}}, "head"});
  a.loss = {"cross-entropy"};
  return a;
}

}  // namespace

TEST_CASE("ids, types, masks and labels are taken from numbers of any array") {
  NetworkData data(classifier(false));
  REQUIRE(data.labels());
  data.take_inputs({2, 4}, Vector<double>{{0, 1, 2, 3, 4, 0, 1, 2}});
  CHECK(data.data().types == std::vector<std::int32_t>(8, 0));
  data.take_token_types({2, 4}, Vector<double>{{0, 0, 1, 1, 0, 0, 0, 1}});
  data.take_mask({2, 4}, Vector<double>{{1, 1, 1, 1, 1, 0, 1, 0}});
  data.take_targets({2, 4}, Vector<double>{{0, 2, -100, 1, 1, -1, 0, -1}});
  const Data<double> taken = data.take();
  CHECK(taken.samples == 2);
  CHECK(taken.ids == std::vector<std::int32_t>{0, 1, 2, 3, 4, 0, 1, 2});
  CHECK(taken.types == std::vector<std::int32_t>{0, 0, 1, 1, 0, 0, 0, 1});
  CHECK(taken.mask == Mask{1, 1, 1, 1, 1, 0, 1, 0});
  CHECK(taken.labels == std::vector<std::int32_t>{0, 2, -100, 1, 1, -1, 0, -1});
  CHECK(taken.Y.size() == 0);

  NetworkData pooled(classifier(true));
  pooled.take_inputs({2, 4}, Vector<double>::Zero(8));
  pooled.take_targets({2}, Vector<double>{{2, 0}});  // one row a sample: one axis is enough
  CHECK(pooled.data().labels == std::vector<std::int32_t>{2, 0});
}

TEST_CASE("what does not fit is refused with what was expected") {
  NetworkData data(classifier(false));
  const Vector<double> zeros = Vector<double>::Zero(8);
  CHECK_THROWS_WITH(data.take_inputs({2, 3}, Vector<double>::Zero(6)),
                    "found shape (2, 3); expected (2, 4), the inputs that the architecture says");
  CHECK_THROWS_WITH(data.take_inputs({0, 4}, Vector<double>(0)),
                    "found shape (0, 4); expected at least 1 everywhere");
  CHECK_THROWS_WITH(data.take_inputs({}, Vector<double>::Zero(1)),
                    Catch::Matchers::StartsWith("found shape (); expected"));
  CHECK_THROWS_WITH(
      data.take_inputs({1, 4}, Vector<double>{{0, 5, 0, 0}}),
      "token 5 at sample 0, position 1; the vocabulary has 5, expected whole numbers from 0 to 4");
  CHECK_THROWS_WITH(
      data.take_inputs({1, 4}, Vector<double>{{0, 0.5, 0, 0}}),
      "token 0.5 at sample 0, position 1; the vocabulary has 5, expected whole numbers from 0 to 4");
  data.take_inputs({2, 4}, zeros);
  CHECK_THROWS_WITH(data.take_token_types({2, 4}, Vector<double>::Constant(8, 2)),
                    "found 2 at (0, 0); expected whole numbers from 0 to 1");
  CHECK_THROWS_WITH(data.take_mask({2, 3}, Vector<double>::Zero(6)),
                    "found shape (2, 3); expected (2, 4), one for each token of the inputs");
  CHECK_THROWS_WITH(data.take_mask({2, 4}, Vector<double>{{1, 1, 1, 1, 0, 0, 0, 0}}),
                    "sample 1 has no real token");
  CHECK_THROWS_WITH(data.take_targets({2, 3}, Vector<double>::Zero(6)),
                    Catch::Matchers::StartsWith("found shape (2, 3); expected (2, 4), a label for each row"));
  CHECK_THROWS_WITH(data.take_targets({2, 4}, Vector<double>::Constant(8, 3)),
                    Catch::Matchers::StartsWith("found 3 at (0, 0); expected whole numbers below 3"));
  CHECK_THROWS_WITH(data.take_targets({2, 4}, Vector<double>::Constant(8, -1e300)),
                    Catch::Matchers::StartsWith("found -1e+300 at (0, 0)"));
  Architecture plain = classifier(false);
  plain.token_types = 0;
  plain.layers[0].options["types"] = Index{0};
  NetworkData without(plain);
  without.take_inputs({2, 4}, zeros);
  CHECK_THROWS_WITH(without.take_token_types({2, 4}, zeros),
                    "found token types; the architecture has inputs without them");
  plain.layers[0].options["types"] = Index{2};
  CHECK_THROWS_WITH(NetworkData(plain), "embedding: types = 2; expected inputs with token-types");
}

TEST_CASE("drawn data: ids over the whole vocabulary, labels of masked rows negative") {
  NetworkData data(classifier(false));
  draw_inputs(data, 50, 1, 3);
  const auto& ids = data.data().ids;
  CHECK(*std::min_element(ids.begin(), ids.end()) == 0);
  CHECK(*std::max_element(ids.begin(), ids.end()) == 4);
  Vector<double> mask = Vector<double>::Ones(200);
  mask[7] = 0;
  data.take_mask({50, 4}, mask);
  draw_targets(data, {.seed = 4, .stream = "teacher"});
  const auto& labels = data.data().labels;
  CHECK(labels[7] == -1);
  CHECK(std::count(labels.begin(), labels.end(), -1) == 1);
  CHECK(*std::max_element(labels.begin(), labels.end()) > 0);
  CHECK_THROWS_WITH(draw_inputs(data, 0, 1, 3), "samples N = 0; expected at least 1");
  CHECK_THROWS_AS(draw_inputs(data, 1, -1, 3), InputError);
}

TEST_CASE("a teacher reaches its targets: loss 0, or every label") {
  for (const bool labels : {true, false}) {
    Architecture a = classifier(false);
    if (!labels) a.loss = {"squared"};
    NetworkData data(a);
    draw_inputs(data, 20, 1, 5);
    const Initialisation teacher = {.seed = 6, .stream = "teacher"};
    draw_targets(data, teacher);
    const auto point = [&](const Initialisation& weights) {
      return ModelPoint<double>{build<double>(a, matching_blocks({"*"}, blocks(a))), draw_weights(a, weights),
                                std::make_shared<Data<double>>(data.data())};
    };
    const Linearization<double> there = point(teacher).linearize(), other = point({.seed = 7}).linearize();
    if (labels) {
      CHECK(accuracy(there.outputs(), data.data()) == 100);
      CHECK(accuracy(other.outputs(), data.data()) < 100);
    } else {
      CHECK(there.loss() <= 1e-28 * data.data().Y.squaredNorm());
      CHECK(other.loss() > 0.01 * data.data().Y.squaredNorm());
    }
  }
}
