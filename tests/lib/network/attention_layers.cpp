#include "basin/network/attention_layers.h"

#include <catch2/catch.hpp>

#include "basin/linalg/errors.h"
#include "basin/model/linearization.h"
#include "basin/network/linear.h"
#include "basin/network/sequential.h"
#include "support/cases.h"

using namespace basin;
using namespace basin::test;

namespace {

/// Two layers, of which attention is the second, so that its input moves.
ModelPoint<double> point_of(std::shared_ptr<const Model<double>> model, Index samples) {
  const Shape in = model->network().input(), out = model->network().output();
  auto data = std::make_shared<Data<double>>();
  *data = {samples, Matrix<double>(samples * in.tokens, in.width),
           Matrix<double>(samples * out.tokens, out.width)};
  Random random(1, "attention_layers");
  random.fill_normal(data->X);
  random.fill_normal(data->Y);
  Vector<double> weights(model->parameters().weight_count());
  random.fill_normal(weights);
  return {std::move(model), weights, data};
}

}  // namespace

TEST_CASE("attention anywhere in a network is the plain one, to rounding, for every kernel and arrangement") {
  const auto kind = GENERATE(KernelKind::softmax, KernelKind::gaussian);
  const Index outputs = GENERATE(1, 2, 40);  // W_V W_O multiplied first, or not
  const AttentionSpec spec{
      .tokens = 5, .embedding = 4, .heads = 2, .head_dim = 3, .outputs = outputs, .kernel = kind};
  const Architecture described = {.input = {5, 6},
                                  .layers = {{"linear", {{"outputs", Index{4}}}, "in"},
                                             {"attention",
                                              {{"heads", Index{2}},
                                               {"head-dim", Index{3}},
                                               {"outputs", outputs},
                                               {"kernel", kernel_name(kind)}}}}};
  const std::vector<std::vector<std::string>> sets = {
      {"in.W", "attention.W_Q", "attention.W_K", "attention.W_V", "attention.W_O"},
      {"in.W"},
      {"attention.W_K", "attention.W_O"}};
  for (const auto& trained : sets) {
    CAPTURE(kernel_name(kind), outputs, joined(trained));
    typename Sequential<double>::Layers layers;
    layers.push_back(std::make_unique<Linear<double>>(described.input, 4, "W"));
    layers.push_back(make_plain_attention<double>(spec));
    const ModelPoint<double> fast = point_of(build<double>(described, trained), 3);
    ModelPoint<double> plain = fast;
    plain.model = std::make_shared<const Model<double>>(
        described,
        std::make_unique<Sequential<double>>(std::move(layers), std::vector<std::string>{"in", "attention"}),
        make_loss<double>("squared"), trained);
    REQUIRE(fast.parameters().weight_count() == plain.parameters().weight_count());
    CHECK(fast.model->reparametrisation());
    CHECK_FALSE(plain.model->reparametrisation());

    const Linearization<double> a = fast.linearize(), b = plain.linearize();
    const Vectors<double> V = random_vectors(a.theta_size(), 3, 2), U = random_vectors(a.output_size(), 3, 3);
    const auto near = [](const auto& found, const auto& expected) {
      return (found - expected).norm() <= 1e-12 * expected.norm();
    };
    CHECK(std::abs(a.loss() - b.loss()) <= 1e-12 * b.loss());
    CHECK(near(a.outputs(), b.outputs()));
    CHECK(near(a.gradient(), b.gradient()));
    Vectors<double> x(a.theta_size(), 3), y = x, p(a.output_size(), 3), q = p;
    a.hessian(V, x), b.hessian(V, y);
    CHECK(near(x, y));
    a.gauss_newton(V, x), b.gauss_newton(V, y);
    CHECK(near(x, y));
    a.vjp(U, x), b.vjp(U, y);
    CHECK(near(x, y));
    a.jvp(V, p), b.jvp(V, q);
    CHECK(near(p, q));
    CHECK(near(a.jacobian_transposed(), b.jacobian_transposed()));
  }
}

TEST_CASE("attention layers refuse impossible sizes") {
  AttentionSpec spec{.tokens = 5, .embedding = 4, .heads = 2, .head_dim = 0, .outputs = 1};
  CHECK_THROWS_WITH(make_attention<double>(spec, ScoreRules::factored),
                    "head dimension d = 0; expected at least 1");
  spec.head_dim = 2, spec.bandwidth = -1;
  CHECK_THROWS_AS(make_plain_attention<double>(spec), InputError);
}
