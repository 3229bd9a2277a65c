/// A small language model: embedding, one attention layer with biases, a head.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "support/cases.h"

namespace basin::test {

inline Architecture language_model(const char* loss, bool tied = false, Index rotary = 0,
                                   const char* kernel = "softmax") {
  LayerDescription attention = {
      "attention", {{"heads", Index{2}}, {"head-dim", Index{2}}, {"kernel", kernel}, {"bias", "qkvo"}}};
  if (rotary > 0) attention.options["rotary.dimensions"] = rotary;
  LayerDescription head = {"linear", {{"outputs", Index{5}}}, "head"};
  if (tied) head.options["weight.tied"] = std::string("embedding.E");
  return {.input = {3, 0},
          .vocabulary = 5,
          .layers = {{"embedding", {{"width", Index{4}}, {"vocabulary", Index{5}}}},
                     {"residual", {}, "", {{"layer-norm"}, attention}},
                     head},
          .loss = {loss, {}}};
}

/// With drawn weights, and ids and labels of two samples.
inline ModelPoint<double> language_point(const Architecture& a,
                                         const std::vector<std::string>& trained = {"*"}) {
  const auto model = build<double>(a, matching_blocks(trained, blocks(a)));
  Data<double> data = {2, Matrix<double>(6, 0), {}};
  data.ids = {0, 1, 2, 3, 4, 0};
  if (a.loss.type == "squared")
    data.Y = random_vectors(6, 5, 2);
  else
    data.labels = {1, 2, 0, 4, 3, 1};
  return {model, random_vectors(model->parameters().weight_count(), 1, 8),
          std::make_shared<Data<double>>(data)};
}

}  // namespace basin::test
