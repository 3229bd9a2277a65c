#include "basin/network/attention_layers.h"

#include <cmath>

#include "basin/network/attention_reparametrisation.h"
#include "basin/network/linear.h"
#include "basin/network/sequential.h"
#include "basin/network/tile_kernels.h"

namespace basin {
namespace {

/// Whether to multiply W_V and W_O first: by the products that an output row takes for it, here and there.
bool multiply_first(const AttentionSpec& s) {
  if (s.kv_heads() != s.heads || s.options.has_bias('v') || s.options.has_bias('o')) return false;
  const auto products = [&](Index width) { return (12 * s.tokens + 4 * s.embedding) * width; };
  return products(s.outputs) <= products(s.head_dim) + 12 * s.head_dim * s.outputs;
}

template <class S>
std::unique_ptr<const TileKernel<S>> tile_kernel(KernelKind kind) {
  if (kind == KernelKind::softmax) return std::make_unique<SoftmaxTiles<S>>();
  return std::make_unique<GaussianTiles<S>>();
}

}  // namespace

template <class S>
std::unique_ptr<const Layer<S>> make_attention(const AttentionSpec& spec, ScoreRules rules) {
  check_sizes(spec);
  const bool softmax = spec.kernel == KernelKind::softmax, multiplied = multiply_first(spec);
  const double sigma = spec.sigma(), root = std::sqrt(static_cast<double>(spec.head_dim));
  auto weights = std::make_unique<AttentionReparametrisation<S>>(
      spec, multiplied, static_cast<S>(softmax ? 1 / root : 1 / sigma),
      static_cast<S>(softmax ? 1 : 1 / sigma));

  const Shape input{spec.tokens, spec.embedding};
  const Index d = weights->head_width(), e = weights->value_width();
  typename Sequential<S>::Layers layers;
  if (multiplied) {
    layers.push_back(std::make_unique<TiledAttention<S>>(input, spec.heads, d, e, Heads::summed, spec.outputs,
                                                         tile_kernel<S>(spec.kernel), rules, spec.options));
  } else {
    layers.push_back(std::make_unique<TiledAttention<S>>(input, spec.heads, d, e, Heads::concatenated,
                                                         spec.heads * e, tile_kernel<S>(spec.kernel), rules,
                                                         spec.options));
    layers.push_back(std::make_unique<Linear<S>>(Shape{spec.tokens, spec.heads * e}, spec.outputs, "W_O",
                                                 spec.options.has_bias('o') ? "b_O" : ""));
  }
  return std::make_unique<Sequential<S>>(std::move(layers), std::vector<std::string>{}, std::move(weights));
}

template std::unique_ptr<const Layer<double>> make_attention(const AttentionSpec&, ScoreRules);
template std::unique_ptr<const Layer<float>> make_attention(const AttentionSpec&, ScoreRules);

}  // namespace basin
