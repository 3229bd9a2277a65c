#include "landscape/gauge.h"

#include <Eigen/LU>
#include <catch2/catch.hpp>

#include "landscape/directions.h"
#include "linalg/errors.h"
#include "support/cases.h"
#include "support/known_matrix.h"
#include "support/plane.h"

using namespace basin;
using namespace basin::test;

namespace {

Eigen::Map<Matrix<double>> head(const ParameterLayout& layout, Vector<double>& weights, const char* block,
                                Index h) {
  const auto& e = layout.find(block);
  return {weights.data() + e.offset + h * e.block.rows() * e.block.cols(), e.block.rows(), e.block.cols()};
}

/// Another point of the gauge orbit.
Vector<double> moved_by_gauge(const Case& c, const ParameterLayout& layout, Vector<double> weights) {
  for (Index h = 0; h < c.H; ++h) {
    Matrix<double> M(c.d, c.d);
    Random(7, "M" + std::to_string(h)).fill_normal(M);
    M += 2 * Matrix<double>::Identity(c.d, c.d);
    const Matrix<double> R =
        c.kernel == KernelKind::softmax ? M : Matrix<double>(random_orthogonal(c.d, 5 + h));
    const Matrix<double> inverse = R.inverse();
    auto Q = head(layout, weights, "W_Q", h), K = head(layout, weights, "W_K", h);
    auto V = head(layout, weights, "W_V", h), O = head(layout, weights, "W_O", h);
    Q = (Q * R).eval(), K = (K * inverse.transpose()).eval();
    V = (V * M).eval(), O = (M.inverse() * O).eval();
  }
  return weights;
}

}  // namespace

TEST_CASE("gauge-equivalent points have the same canonical gauge, and the same slices") {
  const auto kind = GENERATE(KernelKind::softmax, KernelKind::gaussian);
  const Index outputs = GENERATE(1, 2, 5);  // fewer than, and more than d
  Case c = {"gauge", 4, 5, 6, 2, 3, outputs, kind};
  for (const auto& set : all_trainable_sets()) {
    c.trainable = set;
    INFO(describe(c));
    Instance<double> instance = make_instance(c), other = instance;
    const ParameterLayout& layout = instance.model->parameters();
    other.weights = moved_by_gauge(c, layout, instance.weights);
    const double loss = instance.linearize().loss();
    REQUIRE(other.linearize().loss() == Approx(loss).epsilon(1e-11));

    const CanonicalGauge here(c.spec(), layout, instance.weights), there(c.spec(), layout, other.weights);
    const Vector<double> moving = layout.extract(here.weights());
    CHECK((moving - layout.extract(there.weights())).norm() <= 1e-9 * moving.norm());
    Instance<double> canonical = instance;
    canonical.weights = here.weights();
    CHECK(canonical.linearize().loss() == Approx(loss).epsilon(1e-11));

    const Grid grid{{-1, 1, 5}, {-1, 1, 5}};
    const auto slice = [&](const Instance<double>& at) {
      Random x(3, "x"), y(3, "y");
      const auto u = random_direction(c.spec(), layout, at.weights, Normalisation::gauge, x);
      const auto v = random_direction(c.spec(), layout, at.weights, Normalisation::gauge, y);
      PlaneEvaluator plane(c.spec(), at.model, at.weights, at.data, u, v, grid);
      return loss_on_plane(plane, grid);
    };
    const Matrix<double> a = slice(instance), b = slice(other);
    CHECK((a - b).cwiseAbs().maxCoeff() <= 1e-9 * a.maxCoeff());
  }
}

TEST_CASE("canonical blocks are balanced") {
  const Case c = {"gauge", 2, 3, 6, 2, 3, 4};
  const Instance<double> instance = make_instance(c);
  const ParameterLayout& layout = instance.model->parameters();
  Vector<double> weights = CanonicalGauge(c.spec(), layout, instance.weights).weights();
  for (Index h = 0; h < c.H; ++h) {
    const Matrix<double> Q = head(layout, weights, "W_Q", h), K = head(layout, weights, "W_K", h);
    const Matrix<double> V = head(layout, weights, "W_V", h), O = head(layout, weights, "W_O", h);
    const Matrix<double> QQ = Q.transpose() * Q, KK = K.transpose() * K, VV = V.transpose() * V;
    CHECK((QQ - KK).norm() <= 1e-13 * QQ.norm());
    CHECK((VV - O * O.transpose()).norm() <= 1e-13 * VV.norm());
    CHECK((QQ - Matrix<double>(QQ.diagonal().asDiagonal())).norm() <= 1e-13 * QQ.norm());
  }
}

TEST_CASE("a point without canonical gauge is refused") {
  const Case c = {"gauge", 2, 3, 2, 1, 3, 2};  // d > D
  const Instance<double> instance = make_instance(c);
  CHECK_THROWS_WITH(CanonicalGauge(c.spec(), instance.model->parameters(), instance.weights),
                    Catch::Contains("has not the full column rank d"));
}

TEST_CASE("a pair that is not trained needs no canonical gauge") {
  Case c = {"gauge", 2, 3, 6, 1, 3, 2};
  c.trainable = {"W_V", "W_O"};
  Instance<double> instance = make_instance(c);
  const ParameterLayout& layout = instance.model->parameters();
  head(layout, instance.weights, "W_K", 0).setZero();
  const CanonicalGauge gauge(c.spec(), layout, instance.weights);
  const auto& Q = layout.find("W_Q");
  CHECK(gauge.weights().segment(Q.offset, Q.block.size()) ==
        instance.weights.segment(Q.offset, Q.block.size()));
}
