/// A network that is not the single attention layer.
#pragma once

#include "support/cases.h"

namespace basin::test {

/// Two attention layers, 3 samples of 4 tokens; W_Q of the first and W_V of the second layer are trained.
inline ModelPoint<double> two_layers() {
  const auto layer = [](Index heads, Index d, Index outputs, const char* name) {
    return LayerDescription{"attention", {{"heads", heads}, {"head-dim", d}, {"outputs", outputs}}, name};
  };
  const Architecture architecture = {.input = {4, 5},
                                     .layers = {layer(2, 3, 4, "first"), layer(1, 2, 3, "second")}};
  ModelPoint<double> point = make_instance({"data", 3, 4, 5, 1, 1, 3});
  point.model = build<double>(architecture, {"first.W_Q", "second.W_V"});
  point.weights = random_vectors(point.parameters().weight_count(), 1, 9);
  return point;
}

}  // namespace basin::test
