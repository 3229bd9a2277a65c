#include "basin/stationary/known_minimum.h"

#include <Eigen/Cholesky>
#include <catch2/catch.hpp>

#include "basin/problem/constructions.h"
#include "support/cases.h"
#include "support/loss.h"

using namespace basin;
using namespace basin::test;

namespace {

ModelLoss built_loss(const Construction& c, KernelKind kernel, const std::vector<std::string>& trained) {
  AttentionSpec spec = c.problem.spec(c.problem.network, 1, 1);
  spec.kernel = kernel;
  return loss_of({build_single_attention<double>(spec, trained), c.problem.network.weights->values,
                  std::make_shared<Data<double>>(c.problem.data)});
}

Vector<double> witness(const Construction& c, KernelKind kernel, const ModelLoss& loss) {
  Vector<double> at = loss.point.weights;
  for (const auto& [name, values] : c.minimum(kernel).blocks)
    at.segment(loss.point.parameters().find(name).offset, values.size()) = values;
  return at;
}

}  // namespace

TEST_CASE(
    "every construction attains f = 0 where it says, under both kernels, where its blocks are trained") {
  for (const Construction& c : constructions())
    for (const KernelKind kernel : {KernelKind::softmax, KernelKind::gaussian}) {
      CAPTURE(c.name, kernel_name(kernel));
      std::vector<std::string> trained;
      for (const auto& [name, values] : c.minimum(kernel).blocks) trained.push_back(name);
      const ModelLoss loss = built_loss(c, kernel, trained);
      const Vector<double> at = witness(c, kernel, loss);
      CHECK(attains(loss, at, 0));
      CHECK_FALSE(attains(loss, at, 0.1));
      CHECK_FALSE(attains(loss, loss.point.weights, 0));  // the construction itself is not there
      CHECK(attains(built_loss(c, kernel, attention_blocks()), at, 0));
      CHECK_FALSE(attains(built_loss(c, kernel, {"W_V"}), at, 0));  // queries are held elsewhere
    }
}

TEST_CASE(
    "the least-squares minimum bounds a convex loss from below and is attained; in other units it is "
    "scaled") {
  for (const std::string block : {"W_V", "W_O"}) {
    Case c = {"least squares", 3, 4, 3, 1, 2, 2};
    c.trainable = {block};
    const ModelPoint<double> x = make_instance(c);
    ModelLoss loss = loss_of(x);
    CHECK(is_convex(loss));
    const auto least = convex_minimum(loss);
    REQUIRE(least);
    ModelObjective f = loss.objective();
    const Polished end = polish(loss, f, *f.at(x.theta()));
    CHECK(end.at.loss == Approx(*least).epsilon(1e-12));
    auto scaled = std::make_shared<Data<double>>(*x.data);
    scaled->Y *= 0x1p-40;
    loss.point.data = scaled;
    CHECK(*convex_minimum(loss) == *least * 0x1p-80);
    // targets that are attained: 0 to rounding is not claimed
    scaled->Y = x.linearize().outputs();
    CHECK_FALSE(convex_minimum(loss));
  }
  Case both = {"not convex", 3, 4, 3, 1, 2, 2};
  both.trainable = {"W_V", "W_O"};
  const ModelPoint<double> x = make_instance(both);
  CHECK_FALSE(convex_minimum(loss_of(x)));
}

TEST_CASE("what is stated of the minimum is believed where f is what is said; else convexity is asked") {
  const Construction c = construction("softmax-trap");
  const ModelLoss loss = built_loss(c, KernelKind::softmax, {"W_Q", "W_K"});
  const StatedMinimum stated = {{0, "by construction"}, witness(c, KernelKind::softmax, loss)};
  const auto known = global_minimum(loss, stated);
  REQUIRE(known);
  CHECK(known->loss == 0);
  CHECK(known->source == "by construction");
  CHECK_FALSE(global_minimum(loss, StatedMinimum{{0.1, "wrong"}, stated.weights}));
  CHECK_FALSE(global_minimum(loss));
  Case convex = {"least squares", 3, 4, 3, 1, 2, 2};
  convex.trainable = {"W_V"};
  const ModelLoss linear = loss_of(make_instance(convex));
  const auto least = global_minimum(linear, StatedMinimum{{0, "wrong"}, linear.point.weights});
  REQUIRE(least);
  CHECK(least->loss == convex_minimum(linear));
  CHECK(least->source == "as f is convex in W_V");
}

TEST_CASE("the last layer of a network alone: least squares over the rows that count, its bias held or not") {
  const Architecture a = {.input = {2, 3},
                          .layers = {{"linear", {{"outputs", Index{2}}}, "in"},
                                     {"activation", {{"function", "tanh"}}},
                                     {"linear", {{"outputs", Index{2}}}, "head"}}};
  Data<double> data = {5, random_vectors(10, 3, 1), random_vectors(10, 2, 2)};
  data.mask = {1, 1, 0, 1, 1, 1, 1, 0, 1, 1};
  for (const bool bias : {true, false}) {
    const auto model = build<double>(
        a, bias ? std::vector<std::string>{"head.W", "head.b"} : std::vector<std::string>{"head.W"});
    const ModelPoint<double> x = {model, random_vectors(model->parameters().weight_count(), 1, 3),
                                  std::make_shared<Data<double>>(data)};
    const ModelLoss loss = loss_of(x);
    CHECK(is_convex(loss));
    CHECK_FALSE(is_convex(loss_of(x.with_trainable({"head.W", "in.b"}))));
    // by the normal equations
    const auto& weights = x.weights;
    const Matrix<double> W = Eigen::Map<const Matrix<double>>(weights.data(), 3, 2);
    const Eigen::RowVector2d b = weights.segment(6, 2).transpose(), held = weights.tail(2).transpose();
    Matrix<double> A(8, 3), Y(8, 2);
    Index kept = 0;
    for (Index row = 0; row < 10; ++row) {
      if (data.mask[static_cast<std::size_t>(row)] == 0) continue;
      A.row(kept) << (data.X.row(row) * W + b).array().tanh().matrix(), bias ? 1.0 : 0.0;
      Y.row(kept++) = data.Y.row(row) - (bias ? Eigen::RowVector2d::Zero() : held);
    }
    const Matrix<double> Z = bias ? A : Matrix<double>(A.leftCols(2));
    const Matrix<double> left = Y - Z * (Z.transpose() * Z).ldlt().solve(Z.transpose() * Y);
    const auto least = convex_minimum(loss);
    REQUIRE(least);
    CHECK(*least == Approx(left.squaredNorm() / 2).epsilon(1e-10));
  }
}
