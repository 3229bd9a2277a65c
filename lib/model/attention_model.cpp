#include "basin/model/attention_model.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "basin/network/attention_reparametrisation.h"
#include "basin/network/linear.h"
#include "basin/network/sequential.h"
#include "basin/network/tile_kernels.h"
#include "basin/network/tiled_attention.h"

namespace basin {
namespace {

/// Whether to multiply W_V and W_O first: by the products that an output row takes for it, here and there.
bool multiply_first(const AttentionSpec& s) {
  const auto products = [&](Index width) { return (12 * s.tokens + 4 * s.embedding) * width; };
  return products(s.outputs) <= products(s.head_dim) + 12 * s.head_dim * s.outputs;
}

/// How to take derivatives of scores: by the products that a token takes for it in a Hessian product, here
/// and there. The scores of the Gaussian kernel are no scalar products.
ScoreRules score_rules(const AttentionSpec& s, const std::vector<std::string>& trainable) {
  const auto trains = [&](const char* block) {
    return std::find(trainable.begin(), trainable.end(), block) != trainable.end();
  };
  if (s.kernel != KernelKind::softmax || !trains("W_Q") || !trains("W_K")) return ScoreRules::factored;
  const Index n = s.tokens, D = s.embedding, d = s.head_dim;
  const Index factored = 7 * n * d + 4 * D * d, bilinear = n * (d + 2 * D) + 3 * D * d + D * D;
  return bilinear < factored ? ScoreRules::bilinear : ScoreRules::factored;
}

}  // namespace

template <class S>
std::shared_ptr<const Model<S>> build_single_attention(const AttentionSpec& spec,
                                                       const std::vector<std::string>& trainable) {
  check_sizes(spec);
  const bool softmax = spec.kernel == KernelKind::softmax, multiplied = multiply_first(spec);
  const ScoreRules rules = score_rules(spec, trainable);
  const double sigma = spec.sigma(), root = std::sqrt(static_cast<double>(spec.head_dim));
  auto reparametrisation = std::make_unique<AttentionReparametrisation<S>>(
      spec.embedding, spec.heads, spec.head_dim, spec.outputs, multiplied,
      static_cast<S>(softmax ? 1 / root : 1 / sigma), static_cast<S>(softmax ? 1 : 1 / sigma));
  std::unique_ptr<const TileKernel<S>> kernel;
  if (softmax)
    kernel = std::make_unique<SoftmaxTiles<S>>();
  else
    kernel = std::make_unique<GaussianTiles<S>>();

  const Shape input{spec.tokens, spec.embedding};
  const Index width = reparametrisation->value_width();
  typename Sequential<S>::Layers layers;
  if (multiplied) {
    layers.push_back(std::make_unique<TiledAttention<S>>(input, spec.heads, reparametrisation->head_width(),
                                                         width, Heads::summed, spec.outputs,
                                                         std::move(kernel), rules));
  } else {
    layers.push_back(std::make_unique<TiledAttention<S>>(input, spec.heads, reparametrisation->head_width(),
                                                         width, Heads::concatenated, spec.heads * width,
                                                         std::move(kernel), rules));
    layers.push_back(
        std::make_unique<Linear<S>>(Shape{spec.tokens, spec.heads * width}, spec.outputs, "W_O"));
  }
  return std::make_shared<const Model<S>>(
      single_attention(spec), std::make_unique<Sequential<S>>(std::move(layers)),
      std::make_unique<SquaredLoss<S>>(), trainable, std::move(reparametrisation));
}

template <class S>
std::shared_ptr<const Model<S>> make_plain_attention_model(const AttentionSpec& spec,
                                                           const std::vector<std::string>& trainable) {
  return std::make_shared<const Model<S>>(single_attention(spec), make_plain_attention<S>(spec),
                                          std::make_unique<SquaredLoss<S>>(), trainable);
}

template std::shared_ptr<const Model<double>> build_single_attention(const AttentionSpec&,
                                                                     const std::vector<std::string>&);
template std::shared_ptr<const Model<float>> build_single_attention(const AttentionSpec&,
                                                                    const std::vector<std::string>&);
template std::shared_ptr<const Model<double>> make_plain_attention_model(const AttentionSpec&,
                                                                         const std::vector<std::string>&);
template std::shared_ptr<const Model<float>> make_plain_attention_model(const AttentionSpec&,
                                                                        const std::vector<std::string>&);

}  // namespace basin
