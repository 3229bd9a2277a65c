#include "basin/single_layer/norm_constants.h"

#include <omp.h>

#include <catch2/catch.hpp>

#include "basin/linalg/dense.h"
#include "basin/single_layer/certificate.h"
#include "support/cases.h"

using namespace basin;
using namespace basin::test;

namespace {

double spectral_norm(const Vectors<double>& A) {
  return singular_values(A)[0];
}

/// The attention weights of one sample, as the page of mathematics writes them.
Matrix<double> attention(const AttentionSpec& spec, const Matrix<double>& Q, const Matrix<double>& K) {
  Matrix<double> A(Q.rows(), K.rows());
  for (Index k = 0; k < A.rows(); ++k) {
    for (Index l = 0; l < A.cols(); ++l)
      A(k, l) = spec.kernel == KernelKind::softmax
                    ? Q.row(k).dot(K.row(l)) / std::sqrt(static_cast<double>(spec.head_dim))
                    : -(Q.row(k) - K.row(l)).squaredNorm() / (2 * spec.sigma() * spec.sigma());
    if (spec.kernel == KernelKind::softmax) A.row(k).array() -= A.row(k).maxCoeff();
    A.row(k) = A.row(k).array().exp();
    if (spec.kernel == KernelKind::softmax) A.row(k) /= A.row(k).sum();
  }
  return A;
}

}  // namespace

TEST_CASE("norms at the point are upper bounds, as tight as rounding allows") {
  const auto kind = GENERATE(KernelKind::softmax, KernelKind::gaussian);
  const bool moving = GENERATE(false, true);
  for (Case c : hard_cases(kind)) {
    c.trainable = moving ? attention_blocks() : std::vector<std::string>{"W_V", "W_O"};
    CAPTURE(describe(c));
    const ModelPoint<double> instance = make_instance(c);
    const NormConstants norms = norm_constants(instance);
    const Matrix<double>& X = instance.data->X;
    Matrix<double> centred = X;
    double xi = 0, xi_centred = 0;
    for (Index i = 0; i < c.N; ++i) {
      auto sample = centred.middleRows(i * c.n, c.n);
      sample.rowwise() -= sample.colwise().mean().eval();
      xi = std::max(xi, spectral_norm(X.middleRows(i * c.n, c.n)));
      xi_centred = std::max(xi_centred, spectral_norm(sample));
    }
    const auto bounds = [&](double bound, double norm) {
      CAPTURE(bound, norm);
      CHECK(bound >= norm * (1 - 1e-14));
      CHECK(bound <= norm * (1 + 1e-10) + 1e-11);
    };
    bounds(norms.xi, xi);
    bounds(norms.xi_centred, xi_centred);
    bounds(norms.chi, spectral_norm(X));
    bounds(norms.chi_centred, spectral_norm(centred));
    bounds(norms.rho, X.rowwise().norm().maxCoeff());
    CHECK(norms.zeta() == (kind == KernelKind::softmax ? norms.xi_centred : norms.xi));

    const auto& layout = instance.model->parameters();
    const BlockView<const double> w(instance.weights.data(), 1, layout.weight_count(), layout.weight_slots());
    const Matrix<double>& U = kind == KernelKind::softmax ? centred : X;
    REQUIRE(norms.heads.size() == static_cast<std::size_t>(c.H));
    for (Index h = 0; h < c.H; ++h) {
      const HeadNorms& head = norms.heads[static_cast<std::size_t>(h)];
      const Matrix<double> W_Q = w(0, 0, h), W_K = w(1, 0, h), W_V = w(2, 0, h), W_O = w(3, 0, h);
      double keys = 0, queries = 0, values = 0, outputs = 0;
      Matrix<double> B(X.rows(), X.cols());
      for (Index i = 0; i < c.N; ++i) {
        const Matrix<double> X_i = X.middleRows(i * c.n, c.n), U_i = U.middleRows(i * c.n, c.n);
        keys = std::max(keys, spectral_norm(U_i * W_K));
        queries = std::max(queries, spectral_norm(X_i * W_Q));
        values = std::max(values, spectral_norm(U_i * W_V));
        outputs = std::max(outputs, spectral_norm(U_i * W_V * W_O));
        B.middleRows(i * c.n, c.n) = attention(c.spec(), X_i * W_Q, X_i * W_K) * X_i;
      }
      bounds(head.W_V, spectral_norm(W_V));
      bounds(head.W_O, spectral_norm(W_O));
      bounds(head.keys, keys);
      bounds(head.queries, queries);
      bounds(head.query, (X * W_Q).rowwise().norm().maxCoeff());
      bounds(head.values, values);
      bounds(head.outputs, outputs);
      if (moving) {
        CHECK(head.mixed >= spectral_norm(B));
      } else {
        CHECK(head.mixed >= spectral_norm(B) * (1 - 1e-14));
        // Scores of 1e4 and keys far apart in units of the bandwidth keep fewer digits.
        CHECK(head.mixed <= spectral_norm(B) * (1 + 1e-5) + 1e-11);
      }
    }
  }
}

TEST_CASE("centring allows for a large common offset") {
  // Tokens offset + t, exact in binary: the exact centred norm is |t - mean|.
  Case c = {"offset", 1, 3, 1, 1, 1, 1};
  const double exact = Vector<double>(Eigen::Vector3d(0.125, 0.25, 0.625).array() - 1.0 / 3).norm();
  for (int k = 0; k < 20; ++k) {
    ModelPoint<double> instance = make_instance(c);
    auto data = std::make_shared<Data<double>>(*instance.data);
    const double offset = 1e8 + k / 8.0;
    data->X << offset + 0.125, offset + 0.25, offset + 0.625;
    instance.data = data;
    const NormConstants norms = norm_constants(instance);
    const double W_K = std::abs(instance.weights[1]);
    CHECK(norms.xi_centred >= exact);
    CHECK(norms.xi_centred <= exact + 1e-6);
    CHECK(norms.chi_centred >= exact);
    CHECK(norms.heads[0].keys >= exact * W_K);
    CHECK(norms.heads[0].keys <= (exact + 1e-6) * W_K);
  }
}

TEST_CASE("rounding does not take a norm below the exact one") {
  // Equal entries x: |X| = x sqrt(rows D) and |x_a| = x sqrt(D), in extended precision.
  for (Index n = 1; n < 20; ++n)
    for (const Index D : {1, 3, 7, 30}) {
      Case c = {"equal", 1, n, D, 1, 1, 1};
      ModelPoint<double> instance = make_instance(c);
      auto data = std::make_shared<Data<double>>(*instance.data);
      data->X.setConstant(0.1);
      instance.data = data;
      const NormConstants norms = norm_constants(instance);
      const long double row = 0.1 * std::sqrt(static_cast<long double>(D));
      CHECK(norms.rho >= row);
      CHECK(norms.chi >= row * std::sqrt(static_cast<long double>(n)));
    }
}

TEST_CASE("norms of products allow for cancellation") {
  // x = (a, -a') times (b, b): a - a' is exact, its product with b exact enough in extended precision.
  Case c = {"cancellation", 1, 1, 2, 1, 1, 1, KernelKind::gaussian};
  Random random(1, "cancellation");
  for (int draw = 0; draw < 50; ++draw) {
    ModelPoint<double> instance = make_instance(c);
    auto data = std::make_shared<Data<double>>(*instance.data);
    const double a = 1 + random.uniform(), other = a * (1 + 1e-13), b = 1 + random.uniform();
    data->X << a, -other;
    instance.data = data;
    instance.weights.setConstant(b);
    const long double query = std::abs(static_cast<long double>(b) * (a - other));
    const HeadNorms head = norm_constants(instance).heads[0];
    CHECK(head.query >= query);
    CHECK(head.keys >= query);
    CHECK(head.outputs >= query * b);
    CHECK(head.query < 1.1L * query);
  }
}

TEST_CASE("norms have the same bits for any number of threads") {
  const int before = omp_get_max_threads();
  for (const auto& trainable : {attention_blocks(), {"W_V", "W_O"}}) {
    Case c = {"threads", 13, 3, 4, 2, 3, 2};
    c.trainable = trainable;
    const ModelPoint<double> instance = make_instance(c);
    std::vector<double> bounds;
    for (const int threads : {1, 2, 5}) {
      omp_set_num_threads(threads);
      bounds.push_back(second_derivative_bound(norm_constants(instance), 0.3));
    }
    omp_set_num_threads(before);
    CHECK(bounds[1] == bounds[0]);
    CHECK(bounds[2] == bounds[0]);
  }
}
