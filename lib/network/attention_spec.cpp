#include "basin/network/attention_spec.h"

#include <cmath>
#include <utility>

#include "basin/linalg/errors.h"
#include "basin/network/layer_types.h"
#include "basin/network/loss_options.h"

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

std::vector<ParameterBlock> attention_blocks(const AttentionSpec& s) {
  const Index G = s.kv_heads();
  std::vector<ParameterBlock> all = {{"W_Q", {s.heads, s.embedding, s.head_dim}},
                                     {"W_K", {G, s.embedding, s.head_dim}},
                                     {"W_V", {G, s.embedding, s.head_dim}},
                                     {"W_O", {s.heads, s.head_dim, s.outputs}, {}, BlockRole::stacked_map}};
  if (s.options.has_bias('q')) all.push_back({"b_Q", {s.heads, s.head_dim}, {}, BlockRole::shift});
  if (s.options.has_bias('k')) all.push_back({"b_K", {G, s.head_dim}, {}, BlockRole::shift});
  if (s.options.has_bias('v')) all.push_back({"b_V", {G, s.head_dim}, {}, BlockRole::shift});
  if (s.options.has_bias('o')) all.push_back({"b_O", {s.outputs}, {}, BlockRole::shift});
  if (s.kernel == KernelKind::gaussian)  // which sees |q - k|
    for (ParameterBlock& block : all)
      if (block.name.ends_with("_Q") || block.name.ends_with("_K")) block.group = "scores";
  return all;
}

namespace {

RotaryPairing pairing_from_name(const std::string& name) {
  if (name == "halves") return RotaryPairing::halves;
  if (name == "interleaved") return RotaryPairing::interleaved;
  throw InputError("unknown pairing '" + name + "'; expected halves or interleaved");
}

std::string pairing_name(RotaryPairing pairing) {
  return pairing == RotaryPairing::halves ? "halves" : "interleaved";
}

}  // namespace

AttentionSpec attention_spec(const LayerDescription& layer, Shape input) {
  const auto outputs = option<Index>(layer, "outputs");
  return {
      .tokens = input.tokens,
      .embedding = input.width,
      .heads = option<Index>(layer, "heads"),
      .head_dim = option<Index>(layer, "head-dim"),
      .outputs = outputs != 0 ? outputs : input.width,
      .kernel = kernel_from_name(option<std::string>(layer, "kernel")),
      .bandwidth = option<double>(layer, "bandwidth"),
      .options = {.kv_heads = option<Index>(layer, "kv-heads"),
                  .bias = option<std::string>(layer, "bias"),
                  .causal = option<bool>(layer, "causal"),
                  .rotary = {.dimensions = option<Index>(layer, "rotary.dimensions"),
                             .base = option<double>(layer, "rotary.base"),
                             .pairing = pairing_from_name(option<std::string>(layer, "rotary.pairing"))}}};
}

Architecture single_attention(const AttentionSpec& spec) {
  LayerDescription layer = {"attention",
                            {{"heads", spec.heads},
                             {"head-dim", spec.head_dim},
                             {"outputs", spec.outputs},
                             {"kernel", kernel_name(spec.kernel)},
                             {"bandwidth", spec.bandwidth}}};
  if (const AttentionOptions& o = spec.options; o != AttentionOptions{}) {
    layer.options.insert({{"kv-heads", o.kv_heads},
                          {"bias", o.bias},
                          {"causal", o.causal},
                          {"rotary.dimensions", o.rotary.dimensions},
                          {"rotary.base", o.rotary.base},
                          {"rotary.pairing", pairing_name(o.rotary.pairing)}});
  }
  return {.input = {spec.tokens, spec.embedding}, .layers = {layer}};
}

std::optional<AttentionSpec> single_attention(const Architecture& architecture) {
  if (architecture.layers.size() != 1 || architecture.layers[0].type != "attention" ||
      with_defaults(architecture.loss) != with_defaults(LossDescription{}))
    return std::nullopt;
  AttentionSpec spec = attention_spec(with_defaults(architecture.layers[0]), architecture.input);
  if (spec.options.kv_heads == spec.heads) spec.options.kv_heads = 0;
  if (spec.options.rotary.dimensions == 0) spec.options.rotary = {};
  return spec.options == AttentionOptions{} ? std::optional(spec) : std::nullopt;
}

namespace {

/// How many attention layers there were, and how many of them are now Gaussian.
struct Changed {
  Index all = 0, gaussian = 0;
};

void change_kernels(std::vector<LayerDescription>& layers, const std::optional<KernelKind>& kernel,
                    double bandwidth, Changed& changed) {
  for (LayerDescription& layer : layers) {
    change_kernels(layer.layers, kernel, bandwidth, changed);
    if (layer.type != "attention") continue;
    layer = with_defaults(layer);
    if (kernel) layer.options["kernel"] = kernel_name(*kernel);
    ++changed.all;
    if (option<std::string>(layer, "kernel") != kernel_name(KernelKind::gaussian)) continue;
    ++changed.gaussian;
    if (bandwidth != 0) layer.options["bandwidth"] = bandwidth;
  }
}

}  // namespace

Architecture with_kernel(Architecture architecture, std::optional<KernelKind> kernel, double bandwidth) {
  Changed changed;
  change_kernels(architecture.layers, kernel, bandwidth, changed);
  if (changed.all == 0)
    throw InputError("the network has no attention layer, whose kernel could be another one");
  if (bandwidth != 0 && changed.gaussian == 0)
    throw InputError("the network has no Gaussian kernel, which alone has a bandwidth");
  return architecture;
}

void check_sizes(const AttentionSpec& spec) {
  if (!std::isfinite(spec.bandwidth) || spec.bandwidth < 0)
    throw InputError("bandwidth sigma = " + std::to_string(spec.bandwidth) + "; expected a positive number");
  for (const auto& [name, size] : {std::pair<const char*, Index>{"tokens n", spec.tokens},
                                   {"embedding dimension D", spec.embedding},
                                   {"heads H", spec.heads},
                                   {"head dimension d", spec.head_dim},
                                   {"outputs D_out", spec.outputs}})
    if (size < 1)
      throw InputError(std::string(name) + " = " + std::to_string(size) + "; expected at least 1");
  check_options(spec.options, spec.heads, spec.head_dim);
}

}  // namespace basin
