// Whole networks of the families that people train, on random shapes with masks, ids, images and labels:
// every product against another way of computing it.
#include <omp.h>
#include <catch2/catch.hpp>

#include "basin/linalg/random.h"
#include "basin/model/labels.h"
#include "basin/model/linearization.h"
#include "basin/network/architecture_json.h"
#include "support/cases.h"

using namespace basin;
using namespace basin::test;

namespace {

struct NetworkFamily {
  const char* name;
  const char* json;  ///< with KERNEL for that of its attentions
};

const NetworkFamily kNetworkFamilies[] = {
    {"pre-norm classifier", R"({"inputs": {"type": "vectors", "tokens": 5, "width": 6}, "layers": [
       {"type": "repeat", "name": "blocks", "times": 2, "layers": [
         {"type": "residual", "layers": [{"type": "layer-norm", "name": "norm1"},
           {"type": "attention", "heads": 2, "head-dim": 3, "kernel": KERNEL, "bias": "qkvo"}]},
         {"type": "residual", "name": "mlp", "layers": [{"type": "layer-norm", "name": "norm"},
           {"type": "linear", "name": "in", "outputs": 7}, {"type": "activation", "function": "gelu"},
           {"type": "linear", "name": "out", "outputs": 6}]}]},
       {"type": "layer-norm", "name": "norm"}, {"type": "pool"}, {"type": "linear", "name": "head", "outputs": 3}],
       "loss": {"type": "cross-entropy"}})"},
    {"post-norm regression", R"({"inputs": {"type": "vectors", "tokens": 4, "width": 4}, "layers": [
       {"type": "residual", "layers": [{"type": "attention", "heads": 1, "head-dim": 4, "kernel": KERNEL}]},
       {"type": "layer-norm", "name": "norm1", "epsilon": 0.001},
       {"type": "residual", "name": "mlp", "layers": [{"type": "linear", "name": "in", "outputs": 8},
         {"type": "activation", "function": "tanh"}, {"type": "linear", "name": "out", "outputs": 4}]},
       {"type": "layer-norm", "name": "norm2", "gain": false}, {"type": "linear", "name": "head", "outputs": 2}],
       "loss": {"type": "squared", "average": "elements", "half": false}})"},
    {"BERT", R"({"inputs": {"type": "tokens", "tokens": 6, "vocabulary": 9, "token-types": 2}, "layers": [
       {"type": "embedding", "width": 6}, {"type": "positions", "rows": 8}, {"type": "layer-norm", "name": "norm"},
       {"type": "residual", "layers": [{"type": "attention", "heads": 3, "head-dim": 2, "kernel": KERNEL, "bias": "qkvo"}]},
       {"type": "layer-norm", "name": "norm1"},
       {"type": "residual", "name": "mlp", "layers": [{"type": "linear", "name": "in", "outputs": 8},
         {"type": "activation", "function": "gelu"}, {"type": "linear", "name": "out", "outputs": 6}]},
       {"type": "layer-norm", "name": "norm2"},
       {"type": "linear", "name": "head", "weight": {"tied": "embedding.E"}}],
       "loss": {"type": "cross-entropy", "average": "samples"}})"},
    {"GPT", R"({"inputs": {"type": "tokens", "tokens": 6, "vocabulary": 8}, "layers": [
       {"type": "embedding", "width": 4}, {"type": "positions"},
       {"type": "repeat", "name": "h", "times": 3, "layers": [
         {"type": "residual", "layers": [{"type": "layer-norm", "name": "ln1"},
           {"type": "attention", "heads": 2, "head-dim": 2, "kernel": KERNEL, "causal": true, "bias": "qkvo"}]},
         {"type": "residual", "name": "mlp", "layers": [{"type": "layer-norm", "name": "ln2"},
           {"type": "linear", "name": "in", "outputs": 8}, {"type": "activation", "function": "gelu-tanh"},
           {"type": "linear", "name": "out", "outputs": 4}]}]},
       {"type": "layer-norm", "name": "ln"},
       {"type": "linear", "name": "head", "weight": {"tied": "embedding.E"}, "bias": false}],
       "loss": {"type": "cross-entropy"}})"},
    {"ViT", R"({"inputs": {"type": "images", "channels": 2, "height": 4, "width": 4}, "layers": [
       {"type": "patches", "size": 2}, {"type": "linear", "name": "embed", "outputs": 6}, {"type": "class-token"},
       {"type": "positions"},
       {"type": "residual", "layers": [{"type": "layer-norm", "name": "norm1"},
         {"type": "attention", "heads": 2, "head-dim": 3, "kernel": KERNEL, "bias": "qkvo"}]},
       {"type": "layer-norm", "name": "norm"}, {"type": "pool", "by": "first"}, {"type": "linear", "name": "head", "outputs": 4}],
       "loss": {"type": "cross-entropy", "average": "sum"}})"},
    {"Skyformer", R"({"inputs": {"type": "tokens", "tokens": 5, "vocabulary": 7}, "layers": [
       {"type": "embedding", "width": 6}, {"type": "positions"},
       {"type": "residual", "layers": [{"type": "layer-norm", "name": "norm1"},
         {"type": "attention", "heads": 2, "head-dim": 2, "kernel": KERNEL, "bias": "qkvo"}]},
       {"type": "residual", "name": "mlp", "layers": [{"type": "layer-norm", "name": "norm2"},
         {"type": "linear", "name": "in", "outputs": 8}, {"type": "activation", "function": "gelu"},
         {"type": "linear", "name": "out", "outputs": 6}]},
       {"type": "mask-rows"}, {"type": "pool", "over": "all"}, {"type": "linear", "name": "c1", "outputs": 5},
       {"type": "activation", "function": "relu"}, {"type": "linear", "name": "c2", "outputs": 2}],
       "loss": {"type": "cross-entropy"}})"},
    {"Llama", R"({"inputs": {"type": "tokens", "tokens": 5, "vocabulary": 7}, "layers": [
       {"type": "embedding", "width": 8},
       {"type": "repeat", "name": "blocks", "times": 2, "layers": [
         {"type": "residual", "layers": [{"type": "rms-norm", "name": "norm1"},
           {"type": "attention", "heads": 4, "head-dim": 2, "kv-heads": 2, "kernel": KERNEL, "causal": true,
            "rotary": {"dimensions": 2}}]},
         {"type": "residual", "name": "mlp", "layers": [{"type": "rms-norm", "name": "norm2"},
           {"type": "product", "branches": [
             [{"type": "linear", "name": "gate", "outputs": 6, "bias": false}, {"type": "activation", "function": "silu"}],
             {"type": "linear", "name": "up", "outputs": 6, "bias": false}]},
           {"type": "linear", "name": "down", "outputs": 8, "bias": false}]}]},
       {"type": "rms-norm", "name": "norm"}, {"type": "linear", "name": "head", "outputs": 7, "bias": false}],
       "loss": {"type": "cross-entropy"}})"},
    {"NeoX", R"({"inputs": {"type": "tokens", "tokens": 4, "vocabulary": 6}, "layers": [
       {"type": "embedding", "width": 8},
       {"type": "sum", "branches": ["identity",
         [{"type": "layer-norm", "name": "norm1"}, {"type": "attention", "heads": 2, "head-dim": 4, "kernel": KERNEL,
           "causal": true, "bias": "qkvo", "rotary": {"dimensions": 2, "pairing": "interleaved"}}],
         [{"type": "layer-norm", "name": "norm2"}, {"type": "linear", "name": "in", "outputs": 8},
          {"type": "activation", "function": "gelu"}, {"type": "linear", "name": "out", "outputs": 8}]]},
       {"type": "layer-norm", "name": "norm"}, {"type": "linear", "name": "head", "outputs": 6}],
       "loss": {"type": "cross-entropy"}})"}};

/// Whole numbers from 0 to count - 1.
std::vector<std::int32_t> drawn(Index size, Index count, Random& random) {
  std::vector<std::int32_t> all;
  for (Index i = 0; i < size; ++i)
    all.push_back(static_cast<std::int32_t>(
        std::min(count - 1.0, std::floor(random.uniform() * static_cast<double>(count)))));
  return all;
}

/// The network at random weights, on 5 samples of which some tokens are masked and some labels ignored.
ModelPoint<double> point_of(const NetworkFamily& family, const std::string& kernel, std::uint64_t seed) {
  std::string json = family.json;
  for (std::size_t at; (at = json.find("KERNEL")) != std::string::npos;)
    json.replace(at, 6, "\"" + kernel + "\"");
  const Architecture a = architecture_from_json(json);
  const std::vector<ParameterBlock> all = blocks(a);
  const auto model = build<double>(a, matching_blocks({"*"}, all));
  Random random(seed, family.name);
  const Index N = 5, n = a.input.tokens;
  auto data = std::make_shared<Data<double>>(Data<double>{N, Matrix<double>(N * n, a.input.width), {}});
  random.fill_normal(data->X);
  if (a.vocabulary > 0) data->ids = drawn(N * n, a.vocabulary, random);
  if (a.token_types > 0) data->types = drawn(N * n, a.token_types, random);
  if (a.channels == 0)
    for (Index i = 0; i < N * n; ++i) data->mask.push_back(i % n == 1 || random.uniform() < 0.7 ? 1 : 0);
  const Shape out = output_shape(a);
  if (model->loss().facts().labels) {
    Mask real = data->mask;
    model->network().mask(real);
    data->labels = drawn(N * out.tokens, out.width, random);
    for (std::size_t row = 0; row < data->labels.size(); ++row)
      if ((!real.empty() && real[row] == 0) || (row > 0 && random.uniform() < 0.2)) data->labels[row] = -100;
  } else {
    data->Y = random_vectors(N * out.tokens, out.width, seed);
  }
  Vector<double> weights(model->parameters().weight_count());
  random.fill_normal(weights);
  weights *= 0.5;
  for (const auto& e : model->parameters().entries())
    if (e.block.role == BlockRole::scale) weights.segment(e.offset, e.block.size()).array() += 1;
  return {model, weights, data};
}

}  // namespace

TEST_CASE("whole networks: every product against another way of computing it") {
  const auto kernel = GENERATE(as<std::string>{}, "softmax", "gaussian");
  const NetworkFamily& family =
      GENERATE(from_range(std::begin(kNetworkFamilies), std::end(kNetworkFamilies)));
  CAPTURE(family.name, kernel);
  const ModelPoint<double> x = point_of(family, kernel, 3);
  const Linearization<double> at = x.linearize();
  const Index P = at.theta_size(), m = at.output_size();
  const Vector<double> theta = x.theta();
  const Vectors<double> V = random_vectors(P, 2, 2), U = random_vectors(m, 2, 4);
  Vectors<double> HV(P, 2), GV(P, 2), JV(m, 2), JtU(P, 2);
  at.hessian(V, HV), at.gauss_newton(V, GV), at.jvp(V, JV), at.vjp(U, JtU);
  const Vector<double> v = V.col(0);
  const auto loss = [&](double t) -> Vector<double> {
    return Vector<double>::Constant(1, x.at(theta + t * v).linearize().loss());
  };
  const auto gradient = [&](double t) -> Vector<double> {
    return x.at(theta + t * v).linearize().gradient();
  };
  const auto outputs = [&](double t) -> Vector<double> {
    return x.at(theta + t * v).linearize().outputs().reshaped<Eigen::RowMajor>();
  };
  // with the steep kernels of the deepest of them truncation is 1e-9, rounding 1e-16 / 1e-5 times few
  const double h = 1e-5;
  CHECK(central_difference(loss, h)[0] == Approx(at.gradient().dot(v)).epsilon(1e-7));
  CHECK((central_difference(gradient, h) - HV.col(0)).norm() <= 1e-7 * HV.col(0).norm());
  CHECK((central_difference(outputs, h) - JV.col(0)).norm() <= 1e-7 * JV.col(0).norm());
  // symmetry and adjointness, relative to the lengths that cancel
  CHECK(std::abs(V.col(1).dot(HV.col(0)) - V.col(0).dot(HV.col(1))) <=
        1e-13 * V.col(1).norm() * HV.col(0).norm());
  CHECK(std::abs(U.col(1).dot(JV.col(0)) - JtU.col(1).dot(V.col(0))) <=
        1e-13 * U.col(1).norm() * JV.col(0).norm());
  // dense against matrix-free
  const Vectors<double> Jt = at.jacobian_transposed();
  CHECK((Jt * U - JtU).norm() <= 1e-13 * JtU.norm() + 1e-13 * Jt.norm());
  CHECK((Jt.transpose() * V - JV).norm() <= 1e-13 * Jt.norm() * V.norm());
  // G = J^T H_l J
  const Shape out = x.model->network().output();
  const DataLoss<double> rule(*x.model, *x.data);
  for (Index k = 0; k < 2; ++k) {
    const Matrix<double> dF = JV.col(k).reshaped<Eigen::RowMajor>(m / out.width, out.width);
    Matrix<double> dr = dF;
    rule.curvature(0, at.outputs(), dF, dr);
    CHECK((Jt * Vector<double>(dr.reshaped<Eigen::RowMajor>()) - GV.col(k)).norm() <=
          1e-12 * GV.col(k).norm());
  }
  Vectors<double> JtJV(P, 2);
  at.gram(V, JtJV);
  CHECK((Jt * JV - JtJV).norm() <= 1e-12 * JtJV.norm());
  // the outputs of chunks, where those of all rows do not exist at once, against these
  const Linearization<double> there = x.at(theta + 0.1 * v).linearize(),
                              large = x.linearize({.keep = false, .outputs = 0, .chunk_rows = 6}),
                              there_large = x.at(theta + 0.1 * v).linearize({.outputs = 0, .chunk_rows = 6});
  CHECK(large.outputs_norm() == Approx(at.outputs().norm()).epsilon(1e-13));
  CHECK(large.residual_norm() == Approx(at.residual().norm()).epsilon(1e-13));
  const double distance = (there.residual() - at.residual()).norm();
  CHECK(at.residual_distance(there) == Approx(distance).epsilon(1e-13));
  CHECK(large.residual_distance(there_large) == Approx(distance).epsilon(1e-13));
  CHECK(large.residual_distance(there) == Approx(distance).epsilon(1e-13));
  if (labelled(*x.data)) {
    const double right = accuracy(at.outputs(), *x.data, at.counting_rows());
    CHECK(accuracy(large, *x.data) == right);
    CHECK(accuracy(at, *x.data) == right);
  }
  CHECK((large.outputs() - at.outputs()).norm() <= 1e-13 * at.outputs().norm());
  // the same bits for any number of threads, chunks of one sample kept or not
  const int threads = omp_get_max_threads();
  for (const int other : {1, 2, 7})
    for (const std::size_t memory : {std::size_t{0}, std::size_t{1} << 30U}) {
      omp_set_num_threads(other);
      const Linearization<double> again = x.linearize({.memory = memory});
      Vectors<double> HV2(P, 2), GV2(P, 2), JV2(m, 2), JtU2(P, 2);
      again.hessian(V, HV2), again.gauss_newton(V, GV2), again.jvp(V, JV2), again.vjp(U, JtU2);
      CHECK(again.loss() == at.loss());
      CHECK(again.gradient() == at.gradient());
      CHECK((HV2 == HV && GV2 == GV && JV2 == JV && JtU2 == JtU));
    }
  omp_set_num_threads(threads);
}
