#include "basin/network/attention_layers.h"

#include <catch2/catch.hpp>

#include "basin/linalg/errors.h"
#include "basin/model/linearization.h"
#include "basin/network/linear.h"
#include "basin/network/sequential.h"
#include "support/attention_specs.h"
#include "support/check_layer.h"
#include "support/check_precision.h"
#include "support/named_layer.h"
#include "support/plain_attention.h"

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
                                  .layers = {{"linear", {{"outputs", Index{4}}, {"bias", false}}, "in"},
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
        make_loss<double>({}), trained);
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

namespace {

/// Attention behind a map of its tokens, in double by its fast rules and in long double by the plain ones.
struct Pair {
  std::unique_ptr<const Layer<double>> fast;
  std::unique_ptr<const Layer<long double>> plain;
};
Pair behind(const Matrix<double>& M, const AttentionSpec& spec) {
  const Shape shape{spec.tokens, spec.embedding};
  typename Sequential<double>::Layers fast;
  fast.push_back(std::make_unique<MixTokens<double>>(shape, M));
  fast.push_back(std::make_unique<NamedLayer>(make_attention<double>(spec, ScoreRules::factored)));
  typename Sequential<long double>::Layers plain;
  plain.push_back(std::make_unique<MixTokens<long double>>(shape, M));
  plain.push_back(make_plain_attention<long double>(spec));
  return {std::make_unique<Sequential<double>>(std::move(fast)),
          std::make_unique<Sequential<long double>>(std::move(plain))};
}

Context masked_by(const Mask& mask) {
  return {{}, mask};
}

}  // namespace

TEST_CASE("fast attention obeys the four rules with each option and all of them, masked or not") {
  const auto kind = GENERATE(KernelKind::softmax, KernelKind::gaussian);
  const bool masked = GENERATE(false, true);
  for (const auto& [name, spec] : attention_specs(kind)) {
    CAPTURE(kernel_name(kind), masked, name);
    const NamedLayer layer(make_attention<double>(spec, ScoreRules::factored));
    const Mask mask = masked ? masks_with_holes(5, spec.tokens) : Mask();
    check_layer(layer, 5, true, {}, 1, masked_by(mask));
    check_layer(layer, 5, false, {"W_Q", "W_V"}, 2, masked_by(mask));
    check_layer(layer, 5, false, {"W_K", "W_O"}, 3, masked_by(mask));
    for (const ParameterBlock& only : layer.blocks()) {
      std::vector<std::string> frozen;
      for (const ParameterBlock& b : layer.blocks())
        if (b.name != only.name) frozen.push_back(b.name);
      CAPTURE(only.name);
      check_layer(layer, 5, false, frozen, 4, masked_by(mask));
      if (only.name.starts_with("b_")) check_layer(layer, 5, true, frozen, 5, masked_by(mask));
    }
  }
}

TEST_CASE("fast attention is the plain one in long double: any option, mask, duplicates and saturation") {
  const auto kind = GENERATE(KernelKind::softmax, KernelKind::gaussian);
  const bool masked = GENERATE(false, true);
  for (const auto& [name, spec] : attention_specs(kind)) {
    CAPTURE(kernel_name(kind), masked, name);
    const Index n = spec.tokens;
    const Mask mask = masked ? masks_with_holes(5, n) : Mask();
    const Matrix<double> same = Matrix<double>::Identity(n, n);
    Matrix<double> alike = Matrix<double>::Zero(n, n);
    alike.col(0).setOnes();
    // Errors are eps times the size of scores, some dozens for M = 1 and some thousands for saturated ones.
    // (Gaussian weights of such scores are zero but for a query on its key.)
    for (const auto& [M, tolerance] :
         {std::pair{same, 1e-12}, {alike, 1e-12}, {Matrix<double>(8 * same), 1e-10}}) {
      if (kind == KernelKind::gaussian && M(0, 0) == 8) continue;
      const Pair pair = behind(M, spec);
      check_precision(*pair.fast, *pair.plain, 5, masked_by(mask), tolerance);
    }
  }
}

TEST_CASE("fast and plain attention of any shape, options and mask") {
  for (std::uint64_t seed = 1; seed <= 60; ++seed) {
    const auto [spec, mask] = draw_attention(seed);
    const AttentionOptions& o = spec.options;
    CAPTURE(seed, kernel_name(spec.kernel), spec.tokens, spec.heads, spec.head_dim, o.kv_heads, o.bias,
            o.causal, o.rotary.dimensions, mask.size());
    const Pair pair = behind(0.5 * Matrix<double>::Identity(spec.tokens, spec.tokens), spec);
    check_precision(*pair.fast, *pair.plain, 3, masked_by(mask), 1e-12, seed);
    if (seed > 15) continue;
    check_layer(NamedLayer(make_attention<double>(spec, ScoreRules::factored)), 3, true, {}, seed,
                masked_by(mask));
    check_layer(*make_plain_attention<double>(spec), 3, true, {}, seed, masked_by(mask));
  }
}

TEST_CASE("fast attention with options agrees with the plain one at the boundaries of tiles and blocks") {
  const auto kind = GENERATE(KernelKind::softmax, KernelKind::gaussian);
  for (const Index n : {8, 47, 48, 49, 97, 101}) {
    for (const bool causal : {false, true}) {
      AttentionSpec spec{n, 4, 4, 3, 5, kind, 2, {2, "qkvo", causal, {2, 100, RotaryPairing::halves}}};
      CAPTURE(kernel_name(kind), n, causal);
      const Mask mask = masks_with_holes(5, n);
      const Matrix<double> M = 0.3 * Matrix<double>::Identity(n, n);
      for (const Mask& m : {Mask(), mask}) {
        const Pair pair = behind(M, spec);
        check_precision(*pair.fast, *pair.plain, 5, masked_by(m), 1e-12);
        spec.options = {.causal = causal};  // and heads summed
        spec.outputs = 2;
      }
    }
  }
}

TEST_CASE("bilinear scores take masks and later keys that are hidden") {
  for (const Index n : {1, 5, 51})
    for (const bool causal : {false, true}) {
      const AttentionSpec spec{n, 2, 2, 3, 2, KernelKind::softmax, 0, {.causal = causal}};
      const NamedLayer layer(make_attention<double>(spec, ScoreRules::bilinear));
      CAPTURE(n, causal);
      const Mask mask = masks_with_holes(5, n);
      check_layer(layer, 5, false, {}, 1, masked_by(mask));
      if (causal) check_layer(layer, 2, false, {}, 1);
    }
  AttentionSpec spec{3, 2, 2, 2, 2};
  for (const AttentionOptions& options :
       {AttentionOptions{.kv_heads = 1}, {.bias = "q"}, {.bias = "k"}, {.rotary = {.dimensions = 2}}}) {
    spec.options = options;
    CHECK_THROWS_WITH(make_attention<double>(spec, ScoreRules::bilinear),
                      "attention: bilinear scores are for queries and keys without biases, rotary positions "
                      "and sharing");
  }
}

// Tangents to rounding alone: how sums over keys are taken depends on whether some query of the tile is
// saturated.
TEST_CASE("what is masked or hidden has no part in what others get, to the last bit") {
  constexpr Index n = 60, D = 4, P = 3;
  const bool causal = GENERATE(false, true);
  const AttentionSpec spec{n, D, 4, 3, 5, KernelKind::softmax, 0, {2, "qkvo", causal, {2, 100}}};
  const NamedLayer layer(make_attention<double>(spec, ScoreRules::factored));
  Mask mask(n, 1);
  for (Index t = 0; t < n; ++t) mask[static_cast<std::size_t>(t)] = t % 7 != 2 && t < 50;
  const ParameterLayout layout(layer.blocks(), {"W_Q", "W_K", "W_V", "W_O", "b_V"});
  const Vector<double> weights = 0.5 * random_vectors(layout.weight_count(), 1, 1).col(0);
  const Vectors<double> dw = random_vectors(layout.theta_size(), P, 2);
  const Matrix<double> X = random_vectors(n, D, 3), ybar = random_vectors(n, 5, 4);
  Matrix<double> other = X, other_bar = ybar;
  for (Index t = 0; t < n; ++t)
    if (!mask[static_cast<std::size_t>(t)]) other.row(t) *= -1e3;  // masked inputs
  if (causal) other.row(49) *= 7, other_bar.row(49).setZero();  // the last key, which nobody before it sees

  struct Results {
    Batch<double> y, dy, xbar;
  };
  const auto results = [&](const Matrix<double>& x, Matrix<double> bar) {
    for (Index t = 0; t < n; ++t)
      if (!mask[static_cast<std::size_t>(t)] || (causal && t == 49))
        bar.row(t).setZero();  // count in no loss
    Results r;
    Saved<double> value, tangent, adjoint;
    Vector<double> wbar = Vector<double>::Zero(layout.theta_size());
    const BlockView<const double> w(weights.data(), 1, weights.size(), layout.weight_slots());
    value.context.mask = mask;
    layer.value(w, BatchView<const double>(x.data(), 1, n, D), value, r.y);
    layer.tangent(w, value, {}, BlockView<const double>(dw.data(), P, dw.rows(), layout.theta_slots()),
                  tangent, r.dy);
    layer.adjoint(w, value, BatchView<const double>(bar.data(), 1, n, 5), adjoint,
                  BlockView<double>(wbar.data(), 1, wbar.size(), layout.theta_slots()), &r.xbar);
    return r;
  };
  const Results a = results(X, ybar), b = results(other, other_bar);
  for (Index t = 0; t < n; ++t) {
    if (!mask[static_cast<std::size_t>(t)]) {
      CHECK(a.xbar[0].row(t).norm() == 0);
      continue;
    }
    if (causal && t == 49) continue;
    CHECK(a.y[0].row(t) == b.y[0].row(t));
    for (Index j = 0; j < P; ++j)
      CHECK((a.dy[j].row(t) - b.dy[j].row(t)).norm() <= 1e-13 * a.dy[j].row(t).norm());
    CHECK(a.xbar[0].row(t) == b.xbar[0].row(t));
  }
}

TEST_CASE("biases of keys that softmax does not see have derivatives of zero, to the last digit") {
  const bool rotary = GENERATE(false, true);
  constexpr Index n = 5, D = 3, H = 2, d = 4;
  AttentionSpec spec{n, D, H, d, 3, KernelKind::softmax, 0, {.bias = "qkvo", .causal = true}};
  if (rotary) spec.options.rotary = {.dimensions = 2};
  const NamedLayer layer(make_attention<double>(spec, ScoreRules::factored));
  const ParameterLayout layout(layer.blocks(), {"W_Q", "W_K", "b_K"});
  const Vector<double> weights = random_vectors(layout.weight_count(), 1, 1);
  const Vectors<double> dw = random_vectors(layout.theta_size(), 1, 2);
  const Matrix<double> X = random_vectors(n, D, 3), bar = random_vectors(n, 3, 4),
                       dbar = random_vectors(n, 3, 5);
  Vector<double> wbar = Vector<double>::Zero(layout.theta_size()), dwbar = wbar;
  Saved<double> value, tangent, adjoint;
  Batch<double> y, dy;
  const BlockView<const double> w(weights.data(), 1, weights.size(), layout.weight_slots()),
      moves(dw.data(), 1, dw.size(), layout.theta_slots());
  layer.value(w, BatchView<const double>(X.data(), 1, n, D), value, y);
  layer.tangent(w, value, {}, moves, tangent, dy);
  layer.adjoint(w, value, BatchView<const double>(bar.data(), 1, n, 3), adjoint,
                BlockView<double>(wbar.data(), 1, wbar.size(), layout.theta_slots()), nullptr);
  layer.tangent_of_adjoint(w, value, adjoint, tangent, moves, BatchView<const double>(dbar.data(), 1, n, 3),
                           BlockView<double>(dwbar.data(), 1, dwbar.size(), layout.theta_slots()), nullptr);
  const Index first = layout.find("b_K").theta_offset;
  for (Index h = 0; h < H; ++h)
    for (Index i = 0; i < d; ++i)
      for (const Vector<double>* v : {&wbar, &dwbar})
        CHECK(((*v)(first + h * d + i) != 0) == (rotary && i < 2));
}

TEST_CASE("attention layers refuse impossible sizes") {
  AttentionSpec spec{.tokens = 5, .embedding = 4, .heads = 2, .head_dim = 0, .outputs = 1};
  CHECK_THROWS_WITH(make_attention<double>(spec, ScoreRules::factored),
                    "head dimension d = 0; expected at least 1");
  spec.head_dim = 2, spec.bandwidth = -1;
  CHECK_THROWS_AS(make_plain_attention<double>(spec), InputError);
}
