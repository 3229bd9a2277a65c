#include "basin/checkpoint/family_maps.h"
#include "basin/linalg/errors.h"
#include "basin/linalg/words.h"

namespace basin {
namespace {

/// The name of a classifier's tensors: what the configuration says, or one of the usual.
std::string head_name(const Configuration& config, const TensorNames& names) {
  std::string given = config.word({"head"}, "");
  if (!given.empty()) return given;
  for (const char* usual : {"classifier", "head", "fc", "linear", "out", "output", "decoder"})
    if (names.has(std::string(usual) + ".weight")) return usual;
  return "classifier";
}

}  // namespace

CheckpointMap torch_encoder_map(const Configuration& config, MapBuilder made, const DataFacts& data) {
  if (data.tokens == 0)
    throw InputError("the tokens of a sample are not in the configuration of this family; expected inputs");
  TensorNames& names = made.names();
  // the encoder, and what stands beside it
  std::string encoder = config.word({"prefix"}, ""), layer = "layers.{i}.";
  if (!encoder.empty() && !encoder.ends_with('.')) encoder += '.';
  names.find_prefix({encoder}, {"layers.0.self_attn.in_proj_weight", "layers.0.norm1.weight",
                                "self_attn.in_proj_weight", "norm1.weight"});
  if (encoder.empty() && !names.prefix().empty()) {
    // "model.encoder.": the encoder is a part of a model, and what stands beside it has the prefix "model."
    const std::string whole = names.prefix();
    const std::size_t dot = whole.rfind('.', whole.size() - 2);
    names.set_prefix(dot == std::string::npos ? "" : whole.substr(0, dot + 1));
    encoder = whole.substr(names.prefix().size());
  }
  const bool alone = names.has(encoder + "self_attn.in_proj_weight");
  if (alone) layer = "";

  TransformerBlocks blocks;
  blocks.layers = alone ? config.size({"num_layers"}, 1) : layer_count(config, {"num_layers"}, names);
  if (alone && blocks.layers != 1)
    config.refuse("num_layers", "found " + std::to_string(blocks.layers) + "; " + names.path() +
                                    " has the tensors of one layer");
  blocks.width = config.size({"d_model"});
  blocks.heads = config.size({"nhead"});
  blocks.head_dim = head_dimension(config, "nhead", blocks.heads, "d_model", blocks.width);
  blocks.hidden = config.size({"dim_feedforward"}, 2048);
  blocks.activation = activation_of(config, {"activation"}, "relu");
  blocks.order =
      config.flag("norm_first", false) ? TransformerBlocks::Order::pre : TransformerBlocks::Order::post;
  blocks.norm = {{"epsilon", config.number({"layer_norm_eps"}, 1e-5)}};
  const bool bias = config.flag("bias", true);
  blocks.mlp_bias = blocks.norm_bias = bias;
  blocks.attention_bias = bias ? "qkvo" : "";
  if (config.flag("is_causal", false) || config.flag("causal", false)) blocks.attention["causal"] = true;
  blocks.fused = Fused::thirds;
  config.pass({"dropout", "batch_first", "device", "enable_nested_tensor", "mask_check"});

  const auto name = [&](const char* tensor) { return encoder + layer + tensor; };
  Architecture a;
  a.input = {data.tokens, blocks.width};
  a.layers = {made.add_blocks(blocks, {.query = {},
                                       .key = {},
                                       .value = {},
                                       .qkv = name("self_attn.in_proj_"),
                                       .projection = name("self_attn.out_proj"),
                                       .norm1 = name("norm1"),
                                       .norm2 = name("norm2"),
                                       .in = name("linear1"),
                                       .gate = {},
                                       .out = name("linear2")})};
  if (config.flag("final_norm", !alone && names.has(encoder + "norm.weight"))) {
    made.add_norm("final-norm", encoder + "norm", blocks.width, bias);
    a.layers.push_back(described("layer-norm", bias ? blocks.norm : [&] {
      auto options = blocks.norm;
      options["bias"] = false;
      return options;
    }(), "final-norm"));
  }
  const std::string pooling = config.word({"pooling"}, "none");
  const std::vector<std::string> poolings = {"mean", "first", "last", "none"};
  if (pooling == "mean" || pooling == "first" || pooling == "last")
    a.layers.push_back(described("pool", {{"by", pooling}}));
  else if (pooling != "none")
    config.refuse("pooling", "unknown " + shown(pooling) + meant(pooling, poolings));
  if (config.has("num_classes")) {
    const Index classes = config.size({"num_classes"});
    const std::string head = head_name(config, names);
    const bool head_bias = names.has(head + ".bias") || !names.has(head + ".weight");
    made.add_linear("head", head, blocks.width, classes, head_bias);
    a.layers.push_back(described("linear", {{"outputs", classes}, {"bias", head_bias}}, "head"));
  } else if (data.masked && pooling == "none") {
    a.layers.push_back(described("mask-rows"));  // as in evaluation, where padded outputs are 0
  }
  return made.take(a);
}

}  // namespace basin
