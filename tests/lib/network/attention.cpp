#include "basin/network/attention.h"

#include "basin/linalg/errors.h"
#include "basin/network/gaussian_kernel.h"
#include "basin/network/linear.h"
#include "basin/network/sequential.h"
#include "basin/network/softmax_kernel.h"
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
  const Attention<double> layer({4, 5}, 2, 3, 2, kernel(kind, 3));
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
    check_layer(Attention<double>({n, D}, H, d, D_out, kernel(kind, d)), 3, true, {});
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
    layers.push_back(std::make_unique<Attention<S>>(Shape{5, 6}, 2, 3, 4, kernel));
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
  SoftmaxKernel<double>(1).value(Q, K, A);
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
  kernel.value(q, k, A0);
  kernel.value(Q, K, A);
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
  CHECK_THROWS_AS(Attention<double>({0, 3}, 1, 1, 1, kernel(KernelKind::softmax, 1)), InputError);
  CHECK_THROWS_AS(Attention<double>({2, 3}, 0, 1, 1, kernel(KernelKind::softmax, 1)), InputError);
}
