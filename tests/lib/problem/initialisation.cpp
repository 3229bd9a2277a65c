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

TEST_CASE("what is added starts at 0, what is multiplied with at 1, and rows of a table are N(0, 1)") {
  const std::vector<ParameterBlock> blocks = {{"norm.g", {4}, {}, BlockRole::scale},
                                              {"norm.beta", {4}, {}, BlockRole::shift},
                                              {"embedding.E", {400, 9}, {}, BlockRole::table},
                                              {"head.W", {400, 9}, "embedding.E"},
                                              {"mlp.W", {100, 30}}};
  const Vector<double> w = draw_weights(blocks, {.gains = {{"norm.*", 3.0}}, .seed = 2});
  REQUIRE(w.size() == 8 + 3600 + 3000);
  CHECK(w.head(4) == Vector<double>::Constant(4, 3));
  CHECK(w.segment(4, 4).isZero(0));
  // mean squares: five standard errors of a chi-squared variable
  CHECK(w.segment(8, 3600).squaredNorm() / 3600 == Approx(1).epsilon(5 * std::sqrt(2 / 3600.0)));
  CHECK(w.tail(3000).squaredNorm() / 3000 == Approx(0.01).epsilon(5 * std::sqrt(2 / 3000.0)));
  CHECK_THROWS_WITH(draw_weights(blocks, {.gains = {{"norm.*", 3.0}, {"norm.g", 2.0}}}),
                    "gain of norm.g: given twice");
}

TEST_CASE("unknown methods and blocks, and gains that are not finite, are refused") {
  CHECK_THROWS_WITH(draw_weights(kSpec, {.method = "kaiming"}),
                    "unknown initialisation 'kaiming'; expected gaussian, xavier or orthogonal");
  CHECK_THROWS_AS(draw_weights(kSpec, {.gains = {{"W_X", 1}}}), InputError);
  CHECK_THROWS_AS(draw_weights(kSpec, {.gains = {{"W_Q", HUGE_VAL}}}), InputError);
}
