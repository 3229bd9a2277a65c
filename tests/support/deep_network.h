/// A network of many layers, one of each kind that a forward pass has to tell apart.
#pragma once

#include "basin/network/architecture_json.h"
#include "support/cases.h"

namespace basin::test {

/// A classifier of masked token ids under cross-entropy: embedding, positions, a class token (whose token has
/// no id), three blocks of attention and MLP with biases and gains, mean over real tokens, a head of its own
/// or tied to the embedding. 10 samples of 3 tokens.
inline ModelPoint<double> deep_classifier(const std::vector<std::string>& trained = {"*"},
                                          bool tied_head = false) {
  const std::string head = tied_head
                               ? R"({"type": "linear", "name": "head", "weight": {"tied": "embedding.E"}})"
                               : R"({"type": "linear", "name": "head", "outputs": 5})";
  const Architecture a = architecture_from_json(R"({
    "inputs": {"type": "tokens", "tokens": 3, "vocabulary": 5},
    "layers": [{"type": "embedding", "width": 4}, {"type": "positions", "rows": 4}, {"type": "class-token"},
      {"type": "repeat", "name": "blocks", "times": 3, "layers": [
        {"type": "residual", "layers": [{"type": "layer-norm", "name": "norm1"},
          {"type": "attention", "heads": 2, "head-dim": 3, "bias": "qvo"}]},
        {"type": "residual", "name": "mlp", "layers": [{"type": "layer-norm", "name": "norm"},
          {"type": "linear", "name": "in", "outputs": 6}, {"type": "activation", "function": "tanh"},
          {"type": "linear", "name": "out", "outputs": 4}]}]},
      {"type": "pool", "by": "mean"}, )" + head +
                                                R"(],
    "loss": {"type": "cross-entropy"}})");
  ModelPoint<double> point;
  point.model = build<double>(a, matching_blocks(trained, blocks(a)));
  point.weights = random_vectors(point.parameters().weight_count(), 1, 5) / 2;
  Data<double> data{10, Matrix<double>(30, 0), Matrix<double>(0, 5)};
  for (int row = 0; row < 30; ++row) {
    data.ids.push_back(row * row % 5);
    data.mask.push_back(row % 3 == 0 || row % 4 != 2 ? 1 : 0);
  }
  for (int sample = 0; sample < 10; ++sample) data.labels.push_back(sample == 4 ? -1 : sample % 5);
  point.data = std::make_shared<Data<double>>(std::move(data));
  return point;
}

}  // namespace basin::test
