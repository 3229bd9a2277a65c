/// Random Transformers: every choice that has symmetries of its own.
#pragma once

#include <sstream>
#include <string>

#include "basin/network/architecture_json.h"
#include "support/cases.h"

namespace basin::test {

struct RandomNetwork {
  std::string description;  ///< what was chosen, for messages
  ModelPoint<double> point;
};

/// Layers of attention and MLP over token ids, with everything drawn: kernel, norms and where they stand,
/// biases, gains, epsilon, heads, positions, rotary positions, mask, causal, activation or gate, pooling,
/// final norm, a tied head, the loss, which blocks are trained, weights of lower rank. Enough samples to tell
/// parameters apart.
inline RandomNetwork random_network(std::uint64_t seed) {
  Random random(seed, "random network");
  const auto draw = [&](Index count) {
    return static_cast<Index>(random.uniform() * static_cast<double>(count));
  };
  const auto one_of = [&](const std::vector<std::string>& all) {
    return all[static_cast<std::size_t>(draw(static_cast<Index>(all.size())))];
  };
  const auto chance = [&](double p) { return random.uniform() < p; };
  const Index L = 1 + (chance(0.4) ? 1 : 0), D = 3 + draw(3), V = 14, n = 3 + draw(2), C = 2 + draw(2);
  const Index H = 1 + draw(2), d = 1 + draw(3), m = 3 + draw(3);
  const bool pre = chance(0.6), layer_norm = chance(0.7), causal = chance(0.3), gaussian = chance(0.5);
  const bool rotary = d > 1 && chance(0.2), gate = chance(0.2), final_norm = pre && chance(0.7);
  const bool tied = chance(0.15), classes = chance(0.5), pooled = !tied && chance(0.4);
  const std::string activation = gate ? "silu" : one_of({"relu", "gelu", "tanh"});
  const auto flag = [&](double p) { return std::string(chance(p) ? "true" : "false"); };
  const std::string gain = flag(0.8), shift = flag(0.8), head_bias = flag(0.7), mlp_bias = flag(0.8),
                    epsilon = one_of({"1e-5", "0.01", "0"});
  std::string bias;
  for (const char letter : std::string("qkvo"))
    if (chance(0.7)) bias += letter;
  const auto norm = [&](const std::string& name) {
    return R"({"type": ")" + std::string(layer_norm ? "layer-norm" : "rms-norm") + R"(", "name": ")" + name +
           R"(", "epsilon": )" + epsilon + R"(, "gain": )" + gain +
           (layer_norm ? R"(, "bias": )" + shift : "") + "}";
  };
  const std::string attention = R"({"type": "attention", "heads": )" + std::to_string(H) +
                                R"(, "head-dim": )" + std::to_string(d) + R"(, "bias": ")" + bias +
                                R"(", "causal": )" + (causal ? "true" : "false") +
                                (gaussian ? R"(, "kernel": {"type": "gaussian", "bandwidth": 1.5})" : "") +
                                (rotary ? R"(, "rotary": {"dimensions": 2, "base": 100})" : "") + "}";
  const auto linear = [&](const std::string& name, Index outputs, const std::string& biased) {
    return R"({"type": "linear", "name": ")" + name + R"(", "outputs": )" + std::to_string(outputs) +
           R"(, "bias": )" + biased + "}";
  };
  const std::string act = R"({"type": "activation", "function": ")" + activation + R"("})";
  const std::string mlp =
      gate ? R"({"type": "product", "branches": [{"type": "chain", "name": "gate", "layers": [)" +
                 linear("in", m, mlp_bias) + ", " + act + "]}, " + linear("up", m, mlp_bias) + "]}, " +
                 linear("out", D, mlp_bias)
           : linear("in", m, mlp_bias) + ", " + act + ", " + linear("out", D, mlp_bias);
  const auto residual = [&](const std::string& name, const std::string& inner) {
    return R"({"type": "residual", "name": ")" + name + R"(", "layers": [)" +
           (pre ? norm("norm") + ", " + inner : inner) + "]}" + (pre ? "" : ", " + norm(name + "-norm"));
  };
  std::string layers = R"({"type": "embedding", "width": )" + std::to_string(D) + "}";
  const bool positions = chance(0.7);
  if (positions) layers += R"(, {"type": "positions"})";
  layers += R"(, {"type": "repeat", "name": "blocks", "times": )" + std::to_string(L) + R"(, "layers": [)" +
            residual("att", attention) + ", " + residual("mlp", mlp) + "]}";
  if (final_norm) layers += ", " + norm("final-norm");
  const std::string by =
      causal ? "mean" : one_of({"mean", "first", "last"});  // the first token would see itself
  if (pooled) layers += R"(, {"type": "pool", "by": ")" + by + R"("})";
  layers += tied ? R"(, {"type": "linear", "name": "head", "bias": )" + head_bias +
                       R"(, "weight": {"tied": "embedding.E"}})"
                 : ", " + linear("head", C, head_bias);
  const std::string text = R"({"inputs": {"type": "tokens", "tokens": )" + std::to_string(n) +
                           R"(, "vocabulary": )" + std::to_string(V) + R"(}, "layers": [)" + layers +
                           R"(], "loss": {"type": ")" + (classes ? "cross-entropy" : "squared") + R"("}})";
  const Architecture a = architecture_from_json(text);
  const std::vector<ParameterBlock> all = blocks(a);
  std::vector<std::string> trained;
  const bool subset = chance(0.3);
  for (const ParameterBlock& block : all)
    if (block.tied_to.empty() && (!subset || chance(0.6))) trained.push_back(block.name);
  if (trained.empty()) trained.push_back(all.front().name);
  RandomNetwork network{text + (subset ? " trained: " + joined(trained) : ""), {}};
  ModelPoint<double>& point = network.point;
  point.model = build<double>(a, trained);
  point.weights = random_vectors(point.parameters().weight_count(), 1, seed);
  const bool deficient = chance(0.2);
  for (const auto& e : point.parameters().entries()) {
    auto part = point.weights.segment(e.offset, e.block.size());
    if (e.block.role == BlockRole::scale)
      part.array() = 1 + 0.3 * part.array();
    else if (e.block.role == BlockRole::table)
      part *= 0.8;
    else
      part *= 0.7;
    if (deficient && e.block.role == BlockRole::map && chance(0.3))
      for (Index s = 0; s < e.block.slices(); ++s) {  // the last column is the first one
        Eigen::Map<Matrix<double>> W(part.data() + s * e.block.rows() * e.block.cols(), e.block.rows(),
                                     e.block.cols());
        if (W.cols() > 1 && e.block.name.find("W_") != std::string::npos) W.col(W.cols() - 1) = W.col(0);
      }
  }
  if (deficient) network.description += " (of lower rank)";
  const Index outputs = output_shape(a).width, P = point.theta_size();
  // rows see their sample in no more than D numbers; the first ones of a causal network are alike
  const Index rows = pooled ? 1 : causal ? n - 1 : n, seen = std::min(classes ? outputs - 1 : outputs, D);
  const Index N = std::max<Index>(40, 4 * P / (rows * seen));
  Data<double> data{N, Matrix<double>(N * n, 0), Matrix<double>(0, outputs)};
  const bool masked = !pooled && chance(0.3);
  for (Index row = 0; row < N * n; ++row) {
    data.ids.push_back(static_cast<std::int32_t>(draw(V)));
    if (masked) data.mask.push_back(row % n == 0 || chance(0.7) ? 1 : 0);
  }
  const Index out_rows = pooled ? N : N * n;
  if (classes)
    for (Index row = 0; row < out_rows; ++row)
      data.labels.push_back(masked && data.mask[static_cast<std::size_t>(row)] == 0
                                ? -1
                                : static_cast<std::int32_t>(draw(outputs)));
  else
    data.Y = random_vectors(out_rows * outputs, 1, seed + 1).reshaped<Eigen::RowMajor>(out_rows, outputs);
  point.data = std::make_shared<Data<double>>(std::move(data));
  return network;
}

}  // namespace basin::test
