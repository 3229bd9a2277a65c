#include "basin/stationary/point_signature.h"

#include <Eigen/LU>
#include <catch2/catch.hpp>

#include "basin/linalg/dense.h"
#include "basin/single_layer/head_signatures.h"
#include "support/cases.h"

using namespace basin;
using namespace basin::test;

namespace {

/// The same function: M and its inverse between Q and K (softmax) or a rotation of both, M between V and O,
/// heads in the reverse order.
Vector<double> other_gauge(const AttentionSpec& s, const Vector<double>& weights) {
  Vector<double> moved = weights;
  const Index D = s.embedding, d = s.head_dim, H = s.heads, o = s.outputs;
  const auto block = [&](auto& w, Index b, Index h) {
    return Eigen::Map<std::conditional_t<std::is_const_v<std::remove_reference_t<decltype(w)>>,
                                         const Matrix<double>, Matrix<double>>>(
        w.data() + b * H * D * d + h * (b < 3 ? D * d : d * o), b < 3 ? D : d, b < 3 ? d : o);
  };
  for (Index h = 0; h < H; ++h) {
    const Index to = H - 1 - h;
    const Vectors<double> M = Vectors<double>::Identity(d, d) + 0.2 * random_vectors(d, d, 10 + h),
                          N = Vectors<double>::Identity(d, d) + 0.2 * random_vectors(d, d, 20 + h),
                          rotation = orthonormal_columns(random_vectors(d, d, 30 + h));
    const bool softmax = s.kernel == KernelKind::softmax;
    block(moved, 0, to) = block(weights, 0, h) * (softmax ? M : rotation);
    block(moved, 1, to) =
        block(weights, 1, h) * (softmax ? Vectors<double>(M.inverse().transpose()) : rotation);
    block(moved, 2, to) = block(weights, 2, h) * N;
    block(moved, 3, to) = N.inverse() * block(weights, 3, h);
  }
  return moved;
}

}  // namespace

TEST_CASE("outputs are those of the model, and the gauge does not show") {
  for (const KernelKind kind : {KernelKind::softmax, KernelKind::gaussian})
    for (Case c : hard_cases(kind)) {
      if (c.score_scale > 1 || c.bandwidth > 0) continue;  // rounding of the gauge would show
      CAPTURE(describe(c));
      const ModelPoint<double> instance = make_instance(c);
      const PointSignature f = attention_signature(instance);
      const Matrix<double> F = instance.linearize().outputs();
      CHECK((f.outputs - F).norm() <= 1e-13 * F.norm());
      const PointSignature g =
          attention_signature(instance.at_weights(other_gauge(c.spec(), instance.weights)));
      CHECK(signature_distance(f, g) <= 1e-11);
      CHECK(signature_distance(f, f) == 0);
      // all of it survives a file
      const PointSignature back = PointSignature::from_flat(f.flat(), f.outputs.rows(), c.n, c.H, c.D_out);
      CHECK(signature_distance(f, back) == 0);
      CHECK(f.flat().size() == PointSignature::flat_size(f.outputs.rows(), c.n, c.H, c.D_out));
      CHECK_THROWS(PointSignature::from_flat(f.flat(), f.outputs.rows() + 1, c.n, c.H, c.D_out));
    }
}

TEST_CASE("other points are told apart, also where outputs agree") {
  for (const KernelKind kind : {KernelKind::softmax, KernelKind::gaussian}) {
    const Case c = {"told apart", 3, 4, 5, 2, 3, 2, kind};
    const ModelPoint<double> instance = make_instance(c);
    const PointSignature f = attention_signature(instance);
    for (Index i = 0; i < instance.weights.size(); i += 7) {
      Vector<double> moved = instance.weights;
      moved[i] += 1e-3;
      CHECK(signature_distance(f, attention_signature(instance.at_weights(moved))) > 1e-6);
    }
    // values that cancel between heads: the same outputs where attention agrees, another distribution
    PointSignature g = f;
    g.heads[0].V *= 2;
    CHECK(output_distance(f, g) == 0);
    CHECK(signature_distance(f, g) > 0.01);
    std::swap(g.heads[0], g.heads[1]);
    CHECK(signature_distance(f, g) > 0.01);
  }
}

TEST_CASE("what is only rounding makes no distance: values without differences, outputs beside targets") {
  // All tokens of a sample alike: centred values are rounding, and so are outputs where Y is fitted by 0.
  Case c = {"rounding", 2, 3, 4, 1, 2, 2};
  c.duplicate_tokens = true;
  const ModelPoint<double> x = make_instance(c);
  const PointSignature f = attention_signature(x),
                       g = attention_signature(x.at_weights(other_gauge(c.spec(), x.weights)));
  CHECK(signature_distance(f, g) <= 1e-13);
  Vector<double> small = x.weights;
  small.tail(4) *= 1e-20;
  const PointSignature zero = attention_signature(x.at_weights(small)),
                       other = attention_signature(x.at_weights(-small));
  CHECK(output_distance(zero, other) <= 1e-18);
}

TEST_CASE("attention and values count as far as they contribute") {
  for (const KernelKind kind : {KernelKind::softmax, KernelKind::gaussian}) {
    const Case c = {"contributions", 3, 4, 5, 2, 3, 2, kind};
    const ModelPoint<double> x = make_instance(c);
    const Index size = c.D * c.d;
    // a head without values: its attention may be anything
    Vector<double> silent = x.weights;
    silent.segment(2 * 2 * size + size, size) *= 1e-17;
    Vector<double> other = silent;
    other.segment(size, size) *= -1;  // other queries
    const auto function = [&](const Vector<double>& weights) {
      return attention_signature(x.at_weights(weights));
    };
    CHECK(signature_distance(function(silent), function(other)) <= 1e-15);
    if (kind == KernelKind::softmax) continue;
    // a head of vanished attention: its values may be anything
    Vector<double> vanished = x.weights;
    vanished.segment(size, size) *= 1e3;
    PointSignature a = function(vanished), b = a;
    b.heads[1].V *= -2;
    CHECK(signature_distance(a, b) <= 1e-15);
    b = a;
    b.heads[0].V *= 1.001;
    CHECK(signature_distance(a, b) > 1e-5);
  }
}

TEST_CASE("softmax heads may trade constants: the function is the same") {
  Case c = {"constants", 2, 3, 4, 2, 2, 2};
  ModelPoint<double> instance = make_instance(c);
  auto data = std::make_shared<Data<double>>(*instance.data);
  data->X.col(0).setOnes();  // a bias
  // the same W_O in both heads, so that what one adds the other takes away
  Vector<double> moved = instance.weights;
  const Index D = c.D, d = c.d, size = c.H * D * d, O = 3 * size;
  instance.weights.segment(O + d * c.D_out, d * c.D_out) = instance.weights.segment(O, d * c.D_out);
  moved = instance.weights;
  for (Index j = 0; j < d; ++j) moved[2 * size + j] += 0.7, moved[2 * size + D * d + j] -= 0.7;
  const PointSignature f = attention_signature({instance.model, instance.weights, data}),
                       g = attention_signature({instance.model, moved, data});
  CHECK(signature_distance(f, g) <= 1e-13);
}

TEST_CASE(
    "of classes what is added to all outputs of a row makes no difference; hidden units in another order "
    "neither") {
  const Architecture a = {.input = {3, 4},
                          .layers = {{"linear", {{"outputs", Index{6}}}, "in"},
                                     {"activation", {{"function", "relu"}}},
                                     {"linear", {{"outputs", Index{3}}}, "head"}},
                          .loss = {"cross-entropy", {}}};
  const auto model = build<double>(a, matching_blocks({"*"}, blocks(a)));
  Data<double> data = {4, random_vectors(12, 4, 1), {}};
  data.labels = {0, 1, 2, 0, 1, 2, 2, 1, 0, -1, -1, 1};
  const ModelPoint<double> x = {model, random_vectors(model->parameters().weight_count(), 1, 2),
                                std::make_shared<Data<double>>(data)};
  const auto block = [&](Vector<double>& w, const char* name) {
    const auto& e = model->parameters().find(name);
    return Eigen::Map<Matrix<double>>(w.data() + e.offset, e.block.rows(), e.block.cols());
  };
  Vector<double> moved = x.weights;
  block(moved, "head.W").colwise() += random_vectors(6, 1, 3).col(0);
  block(moved, "head.b").array() += 5;
  block(moved, "in.W").col(0).swap(block(moved, "in.W").col(4));
  block(moved, "in.b").col(0).swap(block(moved, "in.b").col(4));
  block(moved, "head.W").row(0).swap(block(moved, "head.W").row(4));
  block(moved, "in.W").col(1) *= 7, block(moved, "in.b").col(1) *= 7;  // through ReLU
  block(moved, "head.W").row(1) /= 7;
  CHECK(signature_distance(output_signature(x), output_signature(x.at_weights(moved))) <= 1e-13);
  block(moved, "in.W")(2, 3) += 1e-4;
  CHECK(signature_distance(output_signature(x), output_signature(x.at_weights(moved))) > 1e-6);
}

TEST_CASE("of many outputs a sketch is kept, with distances of the outputs to some per cent") {
  const Architecture a = {.input = {300, 3}, .layers = {{"linear", {{"outputs", Index{256}}}}}};
  const auto model = build<double>(a, {"W"});
  const ModelPoint<double> x = {model, random_vectors(model->parameters().weight_count(), 1, 2),
                                std::make_shared<Data<double>>(Data<double>{1, random_vectors(300, 3, 1),
                                                                            Matrix<double>::Zero(300, 256)})};
  const PointSignature f = output_signature(x);
  CHECK(f.outputs.size() == 1024);
  CHECK(f.scale == Approx(x.linearize().outputs().norm()).epsilon(0.15));
  CHECK(signature_distance(f, output_signature(x)) == 0);
  for (const double move : {1e-9, 1e-5, 1e-1}) {
    const ModelPoint<double> y = x.at_weights(x.weights + move * random_vectors(x.weights.size(), 1, 7));
    const double exact =
        (y.linearize().outputs() - x.linearize().outputs()).norm() / x.linearize().outputs().norm();
    CHECK(signature_distance(f, output_signature(y)) == Approx(exact).epsilon(0.2));
  }
}
