#include "basin/network/attention_spec.h"

#include <cmath>
#include <utility>

#include "basin/linalg/errors.h"
#include "basin/network/layer_types.h"

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
}

}  // namespace basin
