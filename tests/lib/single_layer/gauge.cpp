#include "basin/single_layer/gauge.h"

#include <Eigen/LU>
#include <catch2/catch.hpp>

#include "basin/landscape/directions.h"
#include "basin/linalg/errors.h"
#include "support/cases.h"
#include "support/known_matrix.h"
#include "support/plane.h"

using namespace basin;
using namespace basin::test;

namespace {

/// Another point of the gauge orbit.
ModelPoint<double> moved_by_gauge(const ModelPoint<double>& point) {
  ModelPoint<double> moved = point;
  const AttentionView at(point);
  const auto blocks = at.of_weights(moved.weights);
  const Index d = at.spec().head_dim;
  for (Index h = 0; h < at.spec().heads; ++h) {
    Matrix<double> M(d, d);
    Random(7, "M" + std::to_string(h)).fill_normal(M);
    M += 2 * Matrix<double>::Identity(d, d);
    const Matrix<double> R = at.softmax() ? M : Matrix<double>(random_orthogonal(d, 5 + h));
    const Matrix<double> inverse = R.inverse();
    auto Q = blocks(kQ, 0, h), K = blocks(kK, 0, h), V = blocks(kV, 0, h), O = blocks(kO, 0, h);
    Q = (Q * R).eval(), K = (K * inverse.transpose()).eval();
    V = (V * M).eval(), O = (M.inverse() * O).eval();
  }
  return moved;
}

}  // namespace

TEST_CASE("gauge-equivalent points have the same canonical gauge, and the same slices") {
  const auto kind = GENERATE(KernelKind::softmax, KernelKind::gaussian);
  const Index outputs = GENERATE(1, 2, 5);  // fewer than, and more than d
  Case c = {"gauge", 4, 5, 6, 2, 3, outputs, kind};
  for (const auto& set : all_trainable_sets()) {
    c.trainable = set;
    INFO(describe(c));
    const ModelPoint<double> instance = make_instance(c), other = moved_by_gauge(instance);
    const double loss = instance.linearize().loss();
    REQUIRE(other.linearize().loss() == Approx(loss).epsilon(1e-11));

    const CanonicalGauge here(instance), there(other);
    const Vector<double> moving = here.point().theta();
    CHECK((moving - there.point().theta()).norm() <= 1e-9 * moving.norm());
    CHECK(here.point().linearize().loss() == Approx(loss).epsilon(1e-11));

    const Grid grid{{-1, 1, 5}, {-1, 1, 5}};
    const auto slice = [&](const ModelPoint<double>& at) {
      Random x(3, "x"), y(3, "y");
      const auto u = random_direction(at, Normalisation::gauge, x, canonical_gauge);
      const auto v = random_direction(at, Normalisation::gauge, y, canonical_gauge);
      const auto plane = plane_loss(at, u, v, grid);
      return loss_on_plane(*plane, grid);
    };
    const Matrix<double> a = slice(instance), b = slice(other);
    CHECK((a - b).cwiseAbs().maxCoeff() <= 1e-9 * a.maxCoeff());
  }
}

TEST_CASE("canonical blocks are balanced") {
  const Case c = {"gauge", 2, 3, 6, 2, 3, 4};
  const ModelPoint<double> instance = make_instance(c);
  const CanonicalGauge gauge(instance);
  const AttentionView at(gauge.point());
  for (Index h = 0; h < c.H; ++h) {
    const Matrix<double> Q = at.W_Q(h), K = at.W_K(h), V = at.W_V(h), O = at.W_O(h);
    const Matrix<double> QQ = Q.transpose() * Q, KK = K.transpose() * K, VV = V.transpose() * V;
    CHECK((QQ - KK).norm() <= 1e-13 * QQ.norm());
    CHECK((VV - O * O.transpose()).norm() <= 1e-13 * VV.norm());
    CHECK((QQ - Matrix<double>(QQ.diagonal().asDiagonal())).norm() <= 1e-13 * QQ.norm());
  }
}

TEST_CASE("a point without canonical gauge is refused") {
  const Case c = {"gauge", 2, 3, 2, 1, 3, 2};  // d > D
  const ModelPoint<double> instance = make_instance(c);
  CHECK_THROWS_WITH(CanonicalGauge(instance), Catch::Contains("has not the full column rank d"));
}

TEST_CASE("a pair that is not trained needs no canonical gauge") {
  Case c = {"gauge", 2, 3, 6, 1, 3, 2};
  c.trainable = {"W_V", "W_O"};
  ModelPoint<double> instance = make_instance(c);
  const AttentionView at(instance);
  at.of_weights(instance.weights)(kK, 0, 0).setZero();
  const CanonicalGauge gauge(instance);
  CHECK(AttentionView(gauge.point()).W_Q(0) == at.W_Q(0));
}
