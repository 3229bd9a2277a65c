/// A layer that the library does not have, entered by name: what a new layer takes. And a network with all
/// that layers may do beside mapping numbers: ids, masks, ties, fewer tokens, layers inside layers.
#pragma once

#include "basin/network/fixed_map.h"
#include "basin/network/layer_types.h"
#include "support/cases.h"

namespace basin::test {

/// y = factor x, the tokens of a sample in reverse.
template <class S>
class Reversed final : public FixedMap<S> {
 public:
  Reversed(Shape input, S factor) : FixedMap<S>(input, input), factor_(factor) {}

 private:
  void apply(const Context& /*context*/, BatchView<const S> x, Batch<S>& y) const override {
    const Index n = this->input().tokens;
    y.resize(x.count(), x.rows(), x.cols());
    for (Index j = 0; j < x.count(); ++j)
      for (Index row = 0; row < x.rows(); ++row)
        y[j].row(row) = factor_ * x[j].row(row - row % n + (n - 1 - row % n));
  }
  void apply_transpose(const Context& context, BatchView<const S> ybar, Batch<S>& xbar) const override {
    apply(context, ybar, xbar);
  }
  S factor_;
};

/// Enters it as "test-reversed", once.
inline void add_example_layers() {
  static const bool done = [] {
    add_layer_type(
        typed("test-reversed", {{"factor", 1.0}},
              [](const LayerDescription& l, Shape in, auto s) -> std::unique_ptr<const Layer<decltype(s)>> {
                return std::make_unique<Reversed<decltype(s)>>(
                    in, static_cast<decltype(s)>(option<double>(l, "factor")));
              }));
    return true;
  }();
  static_cast<void>(done);
}

/// Token ids -> embedding -> residual (attention, linear) -> residual -> mean over real tokens -> head, tied
/// to the embedding. 5 samples of 4 tokens, of which some are masked; `pooled`: else the head is on every
/// token.
inline ModelPoint<double> example_network(const std::vector<std::string>& trained, bool pooled = true,
                                          Index samples = 5) {
  add_example_layers();
  constexpr Index n = 4, ids = 7, width = 6;
  Architecture a;
  a.input = {n, 0};
  a.vocabulary = ids;
  a.layers.push_back({"embedding", {{"vocabulary", ids}, {"width", width}}});
  const LayerDescription attention = {"attention",
                                      {{"heads", Index{2}}, {"head-dim", Index{3}}, {"outputs", width}}};
  const LayerDescription linear = {"linear", {{"outputs", width}, {"bias", false}}};
  a.layers.push_back({"residual", {}, "first", {attention, {"test-reversed", {{"factor", 0.5}}}, linear}});
  a.layers.push_back({"residual", {}, "second", {{"residual", {}, "inner", {attention}}}});
  if (pooled) a.layers.push_back({"pool"});
  a.layers.push_back({"linear", {{"outputs", ids}, {"weight.tied", "embedding.E"}, {"bias", false}}, "head"});
  const auto model = build<double>(a, trained);
  auto data = std::make_shared<Data<double>>();
  data->samples = samples;
  data->X.resize(samples * n, 0);
  data->Y.resize(samples * (pooled ? 1 : n), ids);
  Random random(3, "example network");
  random.fill_normal(data->Y);
  for (Index row = 0; row < samples * n; ++row) {
    data->ids.push_back(static_cast<std::int32_t>(random.uniform() * static_cast<double>(ids)));
    data->mask.push_back(row % n == 0 || random.uniform() < 0.7);
  }
  Vector<double> weights(model->parameters().weight_count());
  random.fill_normal(weights);
  weights *= 0.5;
  return {model, weights, data};
}

}  // namespace basin::test
