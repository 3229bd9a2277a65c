#include "model/attention_model.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "linalg/errors.h"
#include "model/attention.h"
#include "model/attention_folding.h"
#include "model/gaussian_kernel.h"
#include "model/layer_types.h"
#include "model/linear.h"
#include "model/sequential.h"
#include "model/softmax_kernel.h"
#include "model/tile_kernels.h"
#include "model/tiled_attention.h"

namespace basin {

KernelKind kernel_from_name(const std::string& name) {
  if (name == "softmax") return KernelKind::softmax;
  if (name == "gaussian") return KernelKind::gaussian;
  throw InputError("unknown kernel '" + name + "'; expected softmax or gaussian");
}

std::string kernel_name(KernelKind kind) {
  return kind == KernelKind::softmax ? "softmax" : "gaussian";
}

double AttentionSpec::sigma() const {
  return bandwidth != 0 ? bandwidth : std::pow(static_cast<double>(head_dim), 0.25);
}

std::vector<std::string> attention_blocks() {
  return {"W_Q", "W_K", "W_V", "W_O"};
}

AttentionSpec attention_spec(const LayerDescription& layer, Shape input) {
  return {.tokens = input.tokens,
          .embedding = input.width,
          .heads = option<Index>(layer, "heads"),
          .head_dim = option<Index>(layer, "head-dim"),
          .outputs = option<Index>(layer, "outputs"),
          .kernel = kernel_from_name(option<std::string>(layer, "kernel")),
          .bandwidth = option<double>(layer, "bandwidth")};
}

Architecture single_attention(const AttentionSpec& spec) {
  return {.input = {spec.tokens, spec.embedding},
          .layers = {{"attention",
                      {{"heads", spec.heads},
                       {"head-dim", spec.head_dim},
                       {"outputs", spec.outputs},
                       {"kernel", kernel_name(spec.kernel)},
                       {"bandwidth", spec.bandwidth}}}}};
}

std::optional<AttentionSpec> single_attention(const Architecture& architecture) {
  if (architecture.layers.size() != 1 || architecture.layers[0].type != "attention" ||
      architecture.loss != "squared")
    return std::nullopt;
  return attention_spec(with_defaults(architecture.layers[0]), architecture.input);
}

namespace {

void check(const AttentionSpec& spec) {
  if (!std::isfinite(spec.bandwidth) || spec.bandwidth < 0)
    throw InputError("bandwidth sigma = " + std::to_string(spec.bandwidth) + "; expected a positive number");
  for (const auto& [name, size] : {std::pair<const char*, Index>{"tokens n", spec.tokens},
                                   {"embedding dimension D", spec.embedding},
                                   {"heads H", spec.heads},
                                   {"head dimension d", spec.head_dim},
                                   {"outputs D_out", spec.outputs}})
    if (size < 1)
      throw InputError(std::string(name) + " = " + std::to_string(size) + "; expected at least 1");
}

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
  check(spec);
  const bool softmax = spec.kernel == KernelKind::softmax, multiplied = multiply_first(spec);
  const ScoreRules rules = score_rules(spec, trainable);
  const double sigma = spec.sigma(), root = std::sqrt(static_cast<double>(spec.head_dim));
  auto folding = std::make_unique<AttentionFolding<S>>(
      spec.embedding, spec.heads, spec.head_dim, spec.outputs, multiplied,
      static_cast<S>(softmax ? 1 / root : 1 / sigma), static_cast<S>(softmax ? 1 : 1 / sigma));
  std::unique_ptr<const TileKernel<S>> kernel;
  if (softmax)
    kernel = std::make_unique<SoftmaxTiles<S>>();
  else
    kernel = std::make_unique<GaussianTiles<S>>();

  const Shape input{spec.tokens, spec.embedding};
  const Index width = folding->value_width();
  typename Sequential<S>::Layers layers;
  if (multiplied) {
    layers.push_back(std::make_unique<TiledAttention<S>>(input, spec.heads, folding->head_width(), width,
                                                         Heads::summed, spec.outputs, std::move(kernel),
                                                         rules));
  } else {
    layers.push_back(std::make_unique<TiledAttention<S>>(input, spec.heads, folding->head_width(), width,
                                                         Heads::concatenated, spec.heads * width,
                                                         std::move(kernel), rules));
    layers.push_back(
        std::make_unique<Linear<S>>(Shape{spec.tokens, spec.heads * width}, spec.outputs, "W_O"));
  }
  return std::make_shared<const Model<S>>(single_attention(spec),
                                          std::make_unique<Sequential<S>>(std::move(layers)),
                                          std::make_unique<SquaredLoss<S>>(), trainable, std::move(folding));
}

template <class S>
std::unique_ptr<const Layer<S>> make_plain_attention(const AttentionSpec& spec) {
  check(spec);
  std::shared_ptr<const AttentionKernel<S>> kernel;
  if (spec.kernel == KernelKind::softmax)
    kernel = std::make_shared<SoftmaxKernel<S>>(spec.head_dim);
  else
    kernel = std::make_shared<GaussianKernel<S>>(static_cast<S>(spec.sigma()));
  return std::make_unique<Attention<S>>(Shape{spec.tokens, spec.embedding}, spec.heads, spec.head_dim,
                                        spec.outputs, kernel);
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
template std::unique_ptr<const Layer<double>> make_plain_attention(const AttentionSpec&);
template std::unique_ptr<const Layer<float>> make_plain_attention(const AttentionSpec&);
template std::shared_ptr<const Model<double>> make_plain_attention_model(const AttentionSpec&,
                                                                         const std::vector<std::string>&);
template std::shared_ptr<const Model<float>> make_plain_attention_model(const AttentionSpec&,
                                                                        const std::vector<std::string>&);

}  // namespace basin
