/// Attention with everything that it may have, and masks for it.
#pragma once

#include "basin/network/attention_spec.h"
#include "support/cases.h"

namespace basin::test {

struct NamedSpec {
  std::string name;
  AttentionSpec spec;
};

/// Each option alone and all of them, in shapes from the smallest on. `outputs` decides whether W_V W_O is
/// multiplied first, where that is possible.
inline std::vector<NamedSpec> attention_specs(KernelKind kind) {
  const Rotary halves{.dimensions = 4, .base = 50}, pairs{4, 50, RotaryPairing::interleaved}, some{2, 10};
  const auto spec = [&](Index n, Index D, Index H, Index d, Index outputs, const AttentionOptions& options) {
    return AttentionSpec{n, D, H, d, outputs, kind, 0, options};
  };
  return {
      {"causal, summed", spec(5, 4, 2, 3, 2, {.causal = true})},
      {"causal, side by side", spec(5, 4, 2, 3, 40, {.causal = true})},
      {"biases of queries and keys, summed", spec(4, 3, 2, 3, 2, {.bias = "qk"})},
      {"a bias of values", spec(4, 3, 2, 3, 2, {.bias = "v"})},
      {"a bias of outputs", spec(4, 3, 2, 3, 2, {.bias = "o"})},
      {"all biases", spec(4, 3, 2, 3, 4, {.bias = "qkvo"})},
      {"one key for all heads", spec(4, 3, 4, 3, 2, {.kv_heads = 1})},
      {"two keys for four heads, wide", spec(3, 3, 4, 25, 3, {.kv_heads = 2})},
      {"rotary, halves", spec(5, 3, 2, 5, 2, {.rotary = halves})},
      {"rotary, interleaved", spec(5, 3, 2, 5, 2, {.rotary = pairs})},
      {"rotary of all features, with biases", spec(4, 3, 2, 4, 2, {.bias = "qkvo", .rotary = halves})},
      {"everything", spec(6, 5, 4, 3, 5, {2, "qkvo", true, some})},
      {"everything, one token", spec(1, 3, 2, 2, 3, {1, "qkvo", true, some})},
      {"everything, width 1", spec(3, 1, 1, 2, 1, {1, "qkvo", true, some})},
      {"all sizes 1", spec(1, 1, 1, 1, 1, {1, "qkvo", true, {}})},
  };
}

/// For N samples of n tokens: no hole, one inside, the first token masked, a single real token, no real
/// token, and from the beginning again; of one token, masked now and then.
inline Mask masks_with_holes(Index N, Index n) {
  Mask mask(static_cast<std::size_t>(N * n), 1);
  for (Index i = 0; i < N; ++i)
    for (Index t = 0; t < n; ++t) {
      const bool masked =
          (i % 5 == 1 && t == n / 2) || (i % 5 == 2 && t == 0) || (i % 5 == 3 && t != n - 1) || i % 5 == 4;
      if (masked) mask[static_cast<std::size_t>(i * n + t)] = 0;
    }
  return mask;
}

/// Any options in any small shape, and a mask for 3 samples, or none.
struct DrawnAttention {
  AttentionSpec spec;
  Mask mask;
};
inline DrawnAttention draw_attention(std::uint64_t seed) {
  Random random(seed, "draw_attention");
  const auto below = [&](Index count) {
    return std::min(count - 1, static_cast<Index>(random.uniform() * static_cast<double>(count)));
  };
  DrawnAttention drawn;
  AttentionSpec& s = drawn.spec;
  s.tokens = 1 + below(12), s.embedding = 1 + below(6), s.head_dim = 1 + below(5), s.outputs = 1 + below(9);
  s.options.kv_heads = 1 + below(3);
  s.heads = s.options.kv_heads * (1 + below(3));
  s.kernel = below(2) == 0 ? KernelKind::softmax : KernelKind::gaussian;
  for (const char letter : std::string("qkvo"))
    if (below(2) == 0) s.options.bias += letter;
  s.options.causal = below(2) == 0;
  s.options.rotary = {2 * below(s.head_dim / 2 + 1), 1 + 100 * random.uniform(),
                      below(2) == 0 ? RotaryPairing::halves : RotaryPairing::interleaved};
  if (below(3) > 0)
    for (Index row = 0; row < 3 * s.tokens; ++row) drawn.mask.push_back(row == 0 || random.uniform() < 0.6);
  return drawn;
}

/// y_t = sum_s M_ts x_s in each sample: tokens all alike, or large ones. For layers in double and long
/// double.
template <class S>
class MixTokens final : public Layer<S> {
 public:
  MixTokens(Shape shape, Matrix<double> M) : Layer<S>(shape, shape), M_(M.cast<S>()) {}
  std::vector<ParameterBlock> blocks() const override { return {}; }
  void value(BlockView<const S> /*w*/, BatchView<const S> x, Saved<S>& value, Batch<S>& y) const override {
    value.input = x;
    mix(M_, x, y);
  }
  void tangent(BlockView<const S> /*w*/, const Saved<S>& value, BatchView<const S> dx, BlockView<const S> dw,
               Saved<S>& /*tangent*/, Batch<S>& dy) const override {
    if (dx.empty()) return dy.resize_zero(dw.count(), value.input.rows(), this->output().width);
    mix(M_, dx, dy);
  }
  void adjoint(BlockView<const S> /*w*/, const Saved<S>& /*value*/, BatchView<const S> ybar,
               Saved<S>& /*adjoint*/, BlockView<S> /*wbar*/, Batch<S>* xbar) const override {
    if (xbar) mix(M_.transpose(), ybar, *xbar);
  }
  void tangent_of_adjoint(BlockView<const S> /*w*/, const Saved<S>& /*value*/, const Saved<S>& /*adjoint*/,
                          Saved<S>& /*tangent*/, BlockView<const S> /*dw*/, BatchView<const S> dybar,
                          BlockView<S> /*dwbar*/, Batch<S>* dxbar) const override {
    if (dxbar) mix(M_.transpose(), dybar, *dxbar);
  }

 private:
  void mix(const Matrix<S>& M, BatchView<const S> x, Batch<S>& y) const {
    const Index n = M.rows();
    y.resize(x.count(), x.rows(), x.cols());
    for (Index j = 0; j < x.count(); ++j)
      for (Index first = 0; first < x.rows(); first += n)
        y.slice(j, first, n).noalias() = M * x.slice(j, first, n);
  }
  Matrix<S> M_;
};

/// Two layers of attention with all options, one of each kernel, on masked samples.
inline ModelPoint<double> attention_network(Index samples, Index n, const std::vector<std::string>& trained) {
  Architecture a = {.input = {n, 6}, .layers = {}};
  for (const char* kernel : {"softmax", "gaussian"})
    a.layers.push_back({"attention",
                        {{"heads", Index{4}},
                         {"head-dim", Index{3}},
                         {"kv-heads", Index{2}},
                         {"kernel", kernel},
                         {"bias", "qkvo"},
                         {"causal", std::string(kernel) == "softmax"},
                         {"rotary.dimensions", Index{2}}},
                        kernel});
  auto data = std::make_shared<Data<double>>();
  *data = {samples,
           Matrix<double>(samples * n, 6),
           Matrix<double>(samples * n, 6),
           {},
           masks_with_holes(samples, n)};
  Random random(1, "attention_network");
  random.fill_normal(data->X);
  random.fill_normal(data->Y);
  const auto model = build<double>(a, trained);
  Vector<double> weights(model->parameters().weight_count());
  random.fill_normal(weights);
  weights *= 0.5;
  return {model, weights, data};
}

}  // namespace basin::test
