#include "basin/problem/initialisation.h"

#include <catch2/catch.hpp>

#include "basin/linalg/errors.h"

using namespace basin;

namespace {

const AttentionSpec kSpec = {4, 60, 5, 8, 30};  // n, D, H, d, D_out: H d = 40

/// A block as the linear map it is: W_Q as D x H d, W_O as H d x D_out.
Matrix<double> as_map(const AttentionWeights& weights, const std::string& name) {
  const auto model = build_single_attention<double>(kSpec);
  const auto& entry = model->parameters().find(name);
  const Index rows = entry.block.rows(), cols = entry.block.cols(), H = kSpec.heads;
  Matrix<double> map(name == "W_O" ? H * rows : rows, name == "W_O" ? cols : H * cols);
  for (Index h = 0; h < H; ++h) {
    const Eigen::Map<const Matrix<double>> slice(weights.values.data() + entry.offset + h * rows * cols, rows,
                                                 cols);
    map.block(name == "W_O" ? h * rows : 0, name == "W_O" ? 0 : h * cols, rows, cols) = slice;
  }
  return map;
}

}  // namespace

TEST_CASE("gaussian and xavier weights have their scale") {
  for (const std::string& name : attention_blocks()) {
    const double fan_in = name == "W_O" ? 40 : 60, fan_out = name == "W_O" ? 30 : 40;
    const Matrix<double> G = as_map(draw_weights(kSpec, {.method = "gaussian", .seed = 3}), name);
    const auto count = static_cast<double>(G.size());
    // mean square: five standard errors of a chi-squared variable
    CHECK(G.squaredNorm() / count == Approx(1 / fan_in).epsilon(5 * std::sqrt(2 / count)));
    const Matrix<double> X = as_map(draw_weights(kSpec, {.method = "xavier", .seed = 3}), name);
    const double a = std::sqrt(6 / (fan_in + fan_out));
    CHECK(X.cwiseAbs().maxCoeff() <= a);
    CHECK(X.squaredNorm() / count == Approx(a * a / 3).epsilon(5 / std::sqrt(count)));
  }
}

TEST_CASE("orthogonal weights have orthonormal columns or rows") {
  const AttentionWeights weights = draw_weights(kSpec, {.method = "orthogonal", .seed = 3});
  for (const std::string& name : attention_blocks()) {
    const Matrix<double> W = as_map(weights, name);  // 60 x 40 and 40 x 30: tall
    CHECK((W.transpose() * W - Matrix<double>::Identity(W.cols(), W.cols())).norm() < 1e-13);
  }
  AttentionSpec wide = kSpec;
  wide.embedding = 7;  // 7 x 40
  const AttentionWeights rows = draw_weights(wide, {.method = "orthogonal", .seed = 3});
  Matrix<double> W(7, 40);
  for (Index h = 0; h < 5; ++h)
    W.middleCols(8 * h, 8) = Eigen::Map<const Matrix<double>>(rows.values.data() + h * 56, 7, 8);
  CHECK((W * W.transpose() - Matrix<double>::Identity(7, 7)).norm() < 1e-13);
}

TEST_CASE("gains scale their block only, and seeds and streams change the draw") {
  const auto draw = [](Initialisation init) { return draw_weights(kSpec, init).values; };
  const Vector<double> plain = draw({.seed = 1}), gained = draw({.gains = {{"W_K", 2.5}}, .seed = 1});
  const Index block = 5 * 60 * 8;
  CHECK(gained.segment(block, block) == 2.5 * plain.segment(block, block));
  CHECK(gained.head(block) == plain.head(block));
  CHECK(gained.tail(plain.size() - 2 * block) == plain.tail(plain.size() - 2 * block));
  CHECK(draw({.seed = 1}) == plain);
  CHECK_FALSE(draw({.seed = 2}).isApprox(plain));
  CHECK_FALSE(draw({.seed = 1, .stream = "teacher"}).isApprox(plain));
}

namespace {

/// Of the size of its mean square, to five standard errors of a chi-squared variable.
void check_normal(const Vector<double>& values, double deviation) {
  const double n = static_cast<double>(values.size());
  CHECK(values.squaredNorm() / n == Approx(deviation * deviation).epsilon(5 * std::sqrt(2 / n)));
}

/// Within (-a, a), up to its ends, with the variance a^2 / 3.
void check_uniform(const Vector<double>& values, double a) {
  CHECK(values.cwiseAbs().maxCoeff() < a);
  CHECK(values.cwiseAbs().maxCoeff() > 0.97 * a);
  check_normal(values, a / std::sqrt(3.0));
}

/// An embedding, two residual layers in each of three repetitions, a tied head.
const Architecture kNetwork = {
    .input = {7, 0},
    .vocabulary = 400,
    .layers = {{"embedding", {{"width", Index{90}}, {"vocabulary", Index{400}}}},
               {"repeat",
                {{"times", Index{3}}},
                "blocks",
                {{"residual",
                  {},
                  {},
                  {{"layer-norm"},
                   {"attention", {{"heads", Index{5}}, {"head-dim", Index{12}}, {"bias", "qo"}}}}},
                 {"residual",
                  {},
                  "mlp",
                  {{"linear", {{"outputs", Index{120}}}, "in"},
                   {"activation", {{"function", "relu"}}},
                   {"linear", {{"outputs", Index{90}}}, "out"}}}}},
               {"linear", {{"outputs", Index{400}}, {"weight.tied", "embedding.E"}}, "head"}},
    .loss = {}};

/// The weights of a block of that network.
std::function<Vector<double>(const std::string&)> drawn(const Initialisation& initialisation) {
  const auto all = blocks(kNetwork);
  return [weights = draw_weights(kNetwork, initialisation),
          layout =
              ParameterLayout(all, matching_blocks({"*"}, all))](const std::string& name) -> Vector<double> {
    for (const auto& e : layout.entries())
      if (e.block.name == name) return weights.segment(e.offset, e.block.size());
    throw std::logic_error(name);
  };
}

}  // namespace

TEST_CASE("what is added starts at 0, what is multiplied with at 1, and rows of a table are N(0, 1)") {
  const auto of = drawn({.gains = {{"blocks.*.layer-norm.*", 3.0}}, .seed = 2});
  CHECK(of("blocks.1.layer-norm.g") == Vector<double>::Constant(90, 3));
  CHECK(of("blocks.1.layer-norm.beta").isZero(0));
  check_normal(of("embedding.E"), 1);
  check_normal(of("blocks.2.mlp.in.W"), 1 / std::sqrt(90.0));
  check_normal(of("blocks.0.attention.W_O"), 1 / std::sqrt(60.0));
  CHECK_THROWS_WITH(drawn({.gains = {{"blocks.*", 3.0}, {"blocks.0.mlp.in.W", 2.0}}}),
                    Catch::Matchers::EndsWith("given twice"));
}

TEST_CASE("the defaults of PyTorch, layer by layer") {
  const auto of = drawn({.method = "pytorch", .seed = 3});
  check_normal(of("embedding.E"), 1);
  check_uniform(of("blocks.0.attention.W_Q"), std::sqrt(6.0 / (90 + 3 * 60)));
  check_uniform(of("blocks.0.attention.W_V"), std::sqrt(6.0 / (90 + 3 * 60)));
  check_uniform(of("blocks.0.attention.W_O"), 1 / std::sqrt(60.0));
  CHECK(of("blocks.0.attention.b_Q").isZero(0));
  CHECK(of("blocks.0.attention.b_O").isZero(0));
  check_uniform(of("blocks.1.mlp.in.W"), 1 / std::sqrt(90.0));
  check_uniform(of("blocks.1.mlp.out.W"), 1 / std::sqrt(120.0));
  check_uniform(of("head.b"), 1 / std::sqrt(90.0));
  CHECK(of("blocks.1.layer-norm.g") == Vector<double>::Ones(90));
  // biases of 90 and 120 numbers, the largest of which may be smaller than 0.97 a
  CHECK(of("blocks.1.mlp.in.b").cwiseAbs().maxCoeff() < 1 / std::sqrt(90.0));
  CHECK(of("blocks.1.mlp.in.b").cwiseAbs().maxCoeff() > 0.8 / std::sqrt(90.0));
}

TEST_CASE("GPT-2 scales the maps into the residual stream by their number") {
  const auto of = drawn({.method = "gpt2", .seed = 4});
  for (const char* name : {"embedding.E", "blocks.0.attention.W_Q", "blocks.2.mlp.in.W"})
    check_normal(of(name), 0.02);
  for (const char* name : {"blocks.0.attention.W_O", "blocks.2.attention.W_O", "blocks.1.mlp.out.W"})
    check_normal(of(name), 0.02 / std::sqrt(6.0));
  CHECK(of("blocks.0.mlp.out.b").isZero(0));
  const auto normal = drawn({.method = "normal:0.5", .seed = 4});
  for (const char* name : {"embedding.E", "blocks.0.attention.W_O", "blocks.2.mlp.in.W"})
    check_normal(normal(name), 0.5);
  CHECK(normal("head.b").isZero(0));
}

TEST_CASE("unknown methods and blocks, and gains that are not finite, are refused") {
  CHECK_THROWS_WITH(draw_weights(kSpec, {.method = "kaiming"}),
                    "unknown initialisation 'kaiming'; expected one of gaussian, normal:STD, xavier, "
                    "orthogonal, pytorch, gpt2");
  for (const char* wrong : {"normal:", "normal:x", "normal:-1", "normal:inf", "normal:1x"})
    CHECK_THROWS_WITH(draw_weights(kSpec, {.method = wrong}),
                      Catch::Matchers::EndsWith("expected normal: and a standard deviation, normal:0.02"));
  CHECK_THROWS_AS(draw_weights(kSpec, {.gains = {{"W_X", 1}}}), InputError);
  CHECK_THROWS_AS(draw_weights(kSpec, {.gains = {{"W_Q", HUGE_VAL}}}), InputError);
}

TEST_CASE("gains on weights that are there are those of drawn ones") {
  const Architecture network = single_attention(kSpec);
  const std::map<std::string, double> gains = {{"W_O", 3}, {"W_Q", 0.5}};
  Vector<double> weights = draw_weights(network, {.seed = 2});
  const Vector<double> before = weights;
  apply_gains(network, gains, weights);
  CHECK(weights == draw_weights(network, {.gains = gains, .seed = 2}));
  CHECK(weights != before);
  CHECK_THROWS_AS(apply_gains(network, {{"W_X", 1}}, weights), InputError);
  CHECK_THROWS_WITH(apply_gains(network, {{"W_*", 2}, {"W_Q", 2}}, weights),
                    Catch::Matchers::Contains("given twice"));
}
