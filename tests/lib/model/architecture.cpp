#include "basin/network/architecture.h"

#include <catch2/catch.hpp>

#include "basin/linalg/errors.h"
#include "basin/model/attention_model.h"
#include "basin/model/linearization.h"
#include "basin/network/layer_types.h"
#include "basin/network/linear.h"
#include "support/cases.h"

using namespace basin;
using namespace basin::test;

namespace {

Architecture two_layers() {
  return {.input = {3, 4},
          .layers = {{"attention", {{"heads", Index{2}}, {"head-dim", Index{2}}, {"outputs", Index{5}}}},
                     {"linear", {{"outputs", Index{2}}, {"bias", false}}, "head"}}};
}

ModelPoint<double> point_of(const Architecture& architecture, const std::vector<std::string>& trained,
                            Index samples) {
  const auto model = build<double>(architecture, trained);
  const Shape in = model->network().input(), out = model->network().output();
  auto data = std::make_shared<Data<double>>();
  *data = {samples, Matrix<double>(samples * in.tokens, in.width),
           Matrix<double>(samples * out.tokens, out.width)};
  Random random(1, "architecture");
  random.fill_normal(data->X);
  random.fill_normal(data->Y);
  Vector<double> weights(model->parameters().weight_count());
  random.fill_normal(weights);
  return {model, weights, data};
}

}  // namespace

TEST_CASE("a network of several layers from its description: names, shapes, derivatives") {
  const std::vector<ParameterBlock> all = blocks(two_layers());
  REQUIRE(all.size() == 5);
  CHECK(all[0].name == "attention.W_Q");
  CHECK(all[3].shape == std::vector<Index>{2, 2, 5});
  CHECK(all[4].name == "head.W");
  CHECK(all[4].shape == std::vector<Index>{5, 2});

  const ModelPoint<double> x = point_of(two_layers(), {"head.W", "attention.W_Q", "attention.W_V"}, 3);
  const Linearization<double> at = x.linearize();
  const Vector<double> v = random_vectors(at.theta_size(), 1, 2).col(0), theta = x.theta();
  Vectors<double> Hv(at.theta_size(), 1), Jv(at.output_size(), 1);
  at.hessian(v, Hv);
  at.jvp(v, Jv);
  const auto gradient = [&](double t) -> Vector<double> {
    return x.at(theta + t * v).linearize().gradient();
  };
  const auto outputs = [&](double t) -> Vector<double> {
    return x.at(theta + t * v).linearize().outputs().reshaped<Eigen::RowMajor>();
  };
  // the truncation of the difference is 1e-12, rounding 1e-16 / 1e-3
  CHECK((central_difference(gradient, 1e-3) - Hv.col(0)).norm() <= 1e-9 * Hv.norm());
  CHECK((central_difference(outputs, 1e-3) - Jv.col(0)).norm() <= 1e-9 * Jv.norm());
}

TEST_CASE("the single layer is its description: the same model from it, other blocks, other precision") {
  const Case c = {"described", 3, 4, 5, 2, 3, 2, KernelKind::gaussian, 1.5};
  const ModelPoint<double> x = make_instance(c);
  CHECK(single_attention(x.model->architecture()) == c.spec());
  CHECK(x.model->architecture() == single_attention(c.spec()));
  const ModelPoint<double> some = x.with_trainable({"W_V"});
  CHECK(some.parameters().trained() == std::vector<std::string>{"W_V"});
  const Linearization<double> all_at = x.linearize(), some_at = some.linearize();
  const auto& e = x.parameters().find("W_V");
  CHECK((some_at.gradient() - all_at.gradient().segment(e.theta_offset, e.block.size())).norm() <=
        1e-14 * all_at.gradient().norm());
  CHECK(std::abs(x.cast<float>().linearize().loss() - all_at.loss()) <= 1e-5 * all_at.loss());
  CHECK(x.cast<double>().model == x.model);
}

TEST_CASE("what a description may not say is refused in one line") {
  Architecture a = two_layers();
  a.layers[1].name = "attention";
  CHECK_THROWS_WITH(blocks(a),
                    "two layers are called 'attention'; give them names, e.g. 'attention1' and 'attention2'");
  a = two_layers();
  a.layers[0].options.erase("heads");
  CHECK_THROWS_WITH(blocks(a), "attention: option 'heads' is missing");
  a.layers[0].options["heads"] = "two";
  CHECK_THROWS_WITH(blocks(a), "attention: option 'heads' is a name; expected an integer");
  a.layers[0].options["heads"] = Index{0};
  CHECK_THROWS_WITH(blocks(a), "heads H = 0; expected at least 1");
  a.layers[0].options["heads"] = Index{1};
  a.layers[0].options["head"] = Index{1};
  CHECK_THROWS_WITH(blocks(a), "attention: unknown option 'head'; did you mean 'heads'?");
  a.layers[0].type = "lstm";
  CHECK_THROWS_WITH(
      blocks(a), Catch::Matchers::StartsWith("unknown layer type 'lstm'; expected one of attention, linear"));
  a = two_layers();
  a.loss = {"hinge"};
  CHECK_THROWS_WITH(
      build<double>(a, {"head.W"}),
      Catch::Matchers::StartsWith("unknown loss 'hinge'; expected one of squared, cross-entropy"));
  a = two_layers();
  a.layers.clear();
  CHECK_THROWS_WITH(blocks(a), "a model needs at least one layer");
  const ModelPoint<double> x = point_of(two_layers(), {"head.W"}, 1);
  CHECK_FALSE(is_single_attention(x));
}

TEST_CASE("what is known of the single layer is known of it without masks and options alone") {
  const Case c = {"single", 2, 3, 4, 2, 2, 2};
  ModelPoint<double> x = make_instance(c);
  CHECK(is_single_attention(x));
  auto data = std::make_shared<Data<double>>(*x.data);
  data->mask = {1, 1, 1, 1, 0, 1};
  x.data = data;
  CHECK_FALSE(is_single_attention(x));
  for (const AttentionOptions& options :
       {AttentionOptions{.kv_heads = 1}, {.bias = "o"}, {.causal = true}, {.rotary = {.dimensions = 2}}}) {
    AttentionSpec spec = c.spec();
    spec.options = options;
    CHECK_FALSE(single_attention(single_attention(spec)).has_value());
  }
}
