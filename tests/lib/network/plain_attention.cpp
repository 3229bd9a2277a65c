#include "support/plain_attention.h"

#include "basin/linalg/errors.h"
#include "basin/network/attention_layers.h"
#include "basin/network/gaussian_kernel.h"
#include "basin/network/linear.h"
#include "basin/network/sequential.h"
#include "basin/network/softmax_kernel.h"
#include "support/attention_specs.h"
#include "support/check_layer.h"
#include "support/check_precision.h"

using namespace basin;
using namespace basin::test;

namespace {

std::shared_ptr<const AttentionKernel<double>> kernel(KernelKind kind, Index d) {
  if (kind == KernelKind::softmax) return std::make_shared<SoftmaxKernel<double>>(d);
  return std::make_shared<GaussianKernel<double>>(1.3);
}

}  // namespace

TEST_CASE("attention obeys the four rules for every set of blocks, with input moving and fixed") {
  const auto kind = GENERATE(KernelKind::softmax, KernelKind::gaussian);
  const bool input_moves = GENERATE(true, false);
  const PlainAttention<double> layer({4, 5}, 2, 3, 2, kernel(kind, 3));
  for (const auto& trainable : all_trainable_sets()) {
    std::vector<std::string> frozen;
    for (const std::string& b : attention_blocks())
      if (std::find(trainable.begin(), trainable.end(), b) == trainable.end()) frozen.push_back(b);
    CAPTURE(kernel_name(kind), input_moves, trainable);
    check_layer(layer, 2, input_moves, frozen);
  }
}

TEST_CASE("attention obeys the four rules in degenerate shapes") {
  const auto kind = GENERATE(KernelKind::softmax, KernelKind::gaussian);
  for (const auto& [n, D, H, d, D_out] : std::vector<std::array<Index, 5>>{
           {1, 3, 2, 2, 2}, {3, 1, 1, 1, 1}, {1, 1, 1, 1, 1}, {3, 2, 1, 4, 2}, {17, 3, 1, 2, 1}}) {
    CAPTURE(kernel_name(kind), n, D, H, d, D_out);
    check_layer(PlainAttention<double>({n, D}, H, d, D_out, kernel(kind, d)), 3, true, {});
  }
}

TEST_CASE("attention obeys the four rules with each option and all of them, with and without masks") {
  const auto kind = GENERATE(KernelKind::softmax, KernelKind::gaussian);
  const bool masked = GENERATE(false, true);
  for (const auto& [name, spec] : attention_specs(kind)) {
    CAPTURE(kernel_name(kind), masked, name);
    const auto layer = make_plain_attention<double>(spec);
    const Mask mask = masks_with_holes(5, spec.tokens);
    const Context context = {{},
                             masked ? std::span<const std::uint8_t>(mask) : std::span<const std::uint8_t>()};
    check_layer(*layer, 5, true, {}, 1, context);
    check_layer(*layer, 5, false, {"W_Q", "W_V"}, 2, context);
    if (spec.options.has_bias('k')) check_layer(*layer, 5, false, {"W_Q", "W_K", "W_V", "W_O"}, 3, context);
  }
}

TEST_CASE("attention with every option is its formula, token by token") {
  const auto kind = GENERATE(KernelKind::softmax, KernelKind::gaussian);
  constexpr Index n = 4, D = 3, H = 4, G = 2, d = 3, D_out = 2;
  const AttentionSpec spec{n, D, H, d, D_out, kind, 0.7, {G, "qkvo", true, {2, 10, RotaryPairing::halves}}};
  const auto layer = make_plain_attention<double>(spec);
  const std::vector<ParameterBlock> blocks = layer->blocks();
  REQUIRE(blocks.size() == 8);
  for (std::size_t b = 0; b < 8; ++b) {
    CHECK(blocks[b].name == attention_blocks(spec)[b].name);
    CHECK(blocks[b].shape == attention_blocks(spec)[b].shape);
  }
  const ParameterLayout layout(blocks, {"W_Q"});
  const Vector<double> weights = random_vectors(layout.weight_count(), 1, 1);
  const Matrix<double> X = random_vectors(n, D, 2);
  const Mask mask = {1, 0, 1, 1};
  const BlockView<const double> w(weights.data(), 1, weights.size(), layout.weight_slots());
  Saved<double> saved;
  saved.context.mask = mask;
  Batch<double> y;
  layer->value(w, BatchView<const double>(X.data(), 1, n, D), saved, y);

  using Row = Eigen::RowVectorXd;
  const auto turned = [](Row x, Index t) {
    const double angle = static_cast<double>(t), a = x(0), b = x(1);
    x(0) = a * std::cos(angle) - b * std::sin(angle);
    x(1) = a * std::sin(angle) + b * std::cos(angle);
    return x;
  };
  for (Index t = 0; t < n; ++t) {
    Row F = w(7, 0, 0).row(0);
    for (Index h = 0; h < H; ++h) {
      const Index g = h / 2;
      const Row q = turned(X.row(t) * w(0, 0, h) + w(4, 0, 0).row(h), t);
      Row R = Row::Zero(d);
      double total = 0;
      for (Index l = 0; l <= t; ++l) {
        if (!mask[static_cast<std::size_t>(l)]) continue;
        const Row k = turned(X.row(l) * w(1, 0, g) + w(5, 0, 0).row(g), l);
        const double a = kind == KernelKind::softmax ? std::exp(q.dot(k) / std::sqrt(3.0))
                                                     : std::exp(-(q - k).squaredNorm() / (2 * 0.7 * 0.7));
        R += a * (X.row(l) * w(2, 0, g) + w(6, 0, 0).row(g));
        total += a;
      }
      F += R / (kind == KernelKind::softmax ? total : 1) * w(3, 0, h);
    }
    CHECK((y[0].row(t) - F).norm() <= 1e-14 * (1 + F.norm()));
  }
}

TEST_CASE("plain rules hold to the last digits, and compile for long double") {
  const auto kind = GENERATE(KernelKind::softmax, KernelKind::gaussian);
  const auto chain = [&](auto scalar) {
    using S = decltype(scalar);
    std::shared_ptr<const AttentionKernel<S>> kernel;
    if (kind == KernelKind::softmax)
      kernel = std::make_shared<SoftmaxKernel<S>>(3);
    else
      kernel = std::make_shared<GaussianKernel<S>>(S(1.3));
    typename Sequential<S>::Layers layers;
    layers.push_back(std::make_unique<Linear<S>>(Shape{5, 4}, 6, "W"));
    layers.push_back(std::make_unique<PlainAttention<S>>(Shape{5, 6}, 2, 3, 4, kernel));
    return std::make_unique<Sequential<S>>(std::move(layers));
  };
  CAPTURE(kernel_name(kind));
  check_precision(*chain(double{}), *chain(0.0L), 3);
}

TEST_CASE("attention is the paper's formula") {
  const auto kind = GENERATE(KernelKind::softmax, KernelKind::gaussian);
  const Case c = {"formula", 2, 3, 4, 2, 2, 2, kind, 0.7};
  const ModelPoint<double> instance = make_instance(c);
  const Linearization<double> at = instance.linearize();
  const BlockView<const double> w(instance.weights.data(), 1, instance.weights.size(),
                                  instance.model->parameters().weight_slots());
  for (Index i = 0; i < c.N; ++i) {
    const Matrix<double> X = instance.data->X.middleRows(i * c.n, c.n);
    Matrix<double> F = Matrix<double>::Zero(c.n, c.D_out);
    for (Index h = 0; h < c.H; ++h) {
      const Matrix<double> Q = X * w(0, 0, h), K = X * w(1, 0, h);
      Matrix<double> A(c.n, c.n);
      for (Index k = 0; k < c.n; ++k) {
        for (Index l = 0; l < c.n; ++l)
          A(k, l) = kind == KernelKind::softmax
                        ? std::exp(Q.row(k).dot(K.row(l)) / std::sqrt(2.0))
                        : std::exp(-(Q.row(k) - K.row(l)).squaredNorm() / (2 * 0.7 * 0.7));
        if (kind == KernelKind::softmax) A.row(k) /= A.row(k).sum();
      }
      F += A * X * w(2, 0, h) * w(3, 0, h);
    }
    CHECK((at.outputs().middleRows(i * c.n, c.n) - F).norm() <= 1e-14 * (1 + F.norm()));
  }
}

TEST_CASE("softmax attention is stable for scores of any size") {
  const Matrix<double> Q{{1e150}, {-1e150}, {0}}, K{{1e150}, {2e150}, {-1e150}};
  Matrix<double> A(3, 3);
  SoftmaxKernel<double>(1).value(Q, K, Matrix<double>(), A);
  CHECK(A.isApprox(Matrix<double>{{0, 1, 0}, {0, 0, 1}, {1.0 / 3, 1.0 / 3, 1.0 / 3}}));
}

TEST_CASE("the Gaussian kernel keeps its digits where queries are close to keys and both are long") {
  // q - k is exact in both: the kernel must not see the offset at all.
  const double offset = std::ldexp(1.0, 30);
  const Matrix<double> q{{0.25, -1}, {0.5, 0.125}}, k{{0, 0.5}, {0.75, -0.25}};
  const Matrix<double> Q = q.array() + offset, K = k.array() + offset;
  const Matrix<double> dQ{{1, 2}, {3, 4}}, dK{{-1, 0}, {2, 1}}, Abar{{1, -2}, {0.5, 3}};
  const GaussianKernel<double> kernel(0.8);
  Matrix<double> A(2, 2), A0(2, 2), dA(2, 2), dA0(2, 2);
  Matrix<double> Qbar(2, 2), Kbar(2, 2), Qbar0(2, 2), Kbar0(2, 2);
  kernel.value(q, k, Matrix<double>(), A0);
  kernel.value(Q, K, Matrix<double>(), A);
  CHECK(A == A0);
  kernel.tangent(q, k, A, dQ, dK, dA0);
  kernel.tangent(Q, K, A, dQ, dK, dA);
  CHECK(dA == dA0);
  kernel.adjoint(q, k, A, Abar, Qbar0, Kbar0);
  kernel.adjoint(Q, K, A, Abar, Qbar, Kbar);
  CHECK((Qbar == Qbar0 && Kbar == Kbar0));
  kernel.tangent_of_adjoint(q, k, A, Abar, dQ, dK, dA, Abar, Qbar0, Kbar0);
  kernel.tangent_of_adjoint(Q, K, A, Abar, dQ, dK, dA, Abar, Qbar, Kbar);
  CHECK((Qbar == Qbar0 && Kbar == Kbar0));
}

TEST_CASE("attention refuses empty shapes") {
  CHECK_THROWS_AS(PlainAttention<double>({0, 3}, 1, 1, 1, kernel(KernelKind::softmax, 1)), InputError);
  CHECK_THROWS_AS(PlainAttention<double>({2, 3}, 0, 1, 1, kernel(KernelKind::softmax, 1)), InputError);
}
