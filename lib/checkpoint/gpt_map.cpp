#include "basin/checkpoint/family_maps.h"

namespace basin {
namespace {

/// What nanoGPT and GPT-2 of Hugging Face have in common.
struct Gpt {
  Index width = 0, vocabulary = 0, positions = 0;
  std::string positions_key;
  TransformerBlocks blocks;
  bool tied = true;
};

CheckpointMap gpt_map(const Configuration& config, MapBuilder made, const DataFacts& data, const Gpt& gpt) {
  const std::string t =
      made.names().find_prefix({"transformer.", ""}, {"wte.weight", "wpe.weight", "ln_f.weight"});
  // a tied pair is stored once, under either name
  const bool by_head = gpt.tied && !made.names().has(t + "wte.weight") && made.names().has("lm_head.weight");
  const std::string embedding = by_head ? "lm_head.weight" : t + "wte.weight";
  made.add("embedding.E", embedding, {gpt.vocabulary, gpt.width});
  made.add("positions.Pos", t + "wpe.weight", {gpt.positions, gpt.width});
  Architecture a;
  a.input = {tokens_for(config, gpt.positions_key, gpt.positions, data), 0};
  a.vocabulary = gpt.vocabulary;
  a.layers = {described("embedding", {{"width", gpt.width}, {"vocabulary", gpt.vocabulary}}),
              described("positions", {{"rows", gpt.positions}}),
              made.add_blocks(gpt.blocks, {.query = {},
                                           .key = {},
                                           .value = {},
                                           .qkv = t + "h.{i}.attn.c_attn",
                                           .projection = t + "h.{i}.attn.c_proj",
                                           .norm1 = t + "h.{i}.ln_1",
                                           .norm2 = t + "h.{i}.ln_2",
                                           .in = t + "h.{i}.mlp.c_fc",
                                           .gate = {},
                                           .out = t + "h.{i}.mlp.c_proj"})};
  auto norm = gpt.blocks.norm;
  if (!gpt.blocks.norm_bias) norm["bias"] = false;
  made.add_norm("final-norm", t + "ln_f", gpt.width, gpt.blocks.norm_bias);
  a.layers.push_back(described("layer-norm", norm, "final-norm"));
  a.layers.push_back(made.add_head("lm_head.weight", embedding, gpt.width, gpt.vocabulary, gpt.tied));
  made.skip("*.attn.bias");  // the causal mask
  made.skip("*.attn.masked_bias");
  return made.take(a);
}

}  // namespace

CheckpointMap nanogpt_map(const Configuration& config, MapBuilder made, const DataFacts& data) {
  Gpt gpt;
  TransformerBlocks& blocks = gpt.blocks;
  gpt.width = blocks.width = config.size({"n_embd"});
  gpt.vocabulary = config.size({"vocab_size"});
  gpt.positions = config.size({"block_size"});
  gpt.positions_key = "block_size";
  blocks.layers = layer_count(config, {"n_layer"}, made.names());
  blocks.heads = config.size({"n_head"});
  blocks.head_dim = head_dimension(config, "n_head", blocks.heads, "n_embd", blocks.width);
  blocks.hidden = 4 * blocks.width;
  const bool bias = config.flag("bias", true);
  blocks.mlp_bias = blocks.norm_bias = bias;
  blocks.attention_bias = bias ? "qkvo" : "";
  blocks.attention = {{"causal", true}};
  blocks.norm = {{"epsilon", 1e-5}};
  blocks.fused = Fused::thirds;
  config.pass({"dropout"});
  return gpt_map(config, std::move(made), data, gpt);
}

CheckpointMap gpt2_map(const Configuration& config, MapBuilder made, const DataFacts& data) {
  Gpt gpt;
  TransformerBlocks& blocks = gpt.blocks;
  gpt.width = blocks.width = config.size({"n_embd", "hidden_size"});
  gpt.vocabulary = config.size({"vocab_size"});
  gpt.positions = config.size({"n_positions", "n_ctx"});
  gpt.positions_key = config.has("n_positions") ? "n_positions" : "n_ctx";
  gpt.tied = config.flag("tie_word_embeddings", true);
  blocks.layers = layer_count(config, {"n_layer"}, made.names());
  blocks.heads = config.size({"n_head"});
  blocks.head_dim = head_dimension(config, "n_head", blocks.heads, "n_embd", blocks.width);
  blocks.hidden = config.size({"n_inner"}, 4 * blocks.width);
  blocks.activation = activation_of(config, {"activation_function"}, "gelu_new");
  blocks.norm = {{"epsilon", config.number({"layer_norm_epsilon"}, 1e-5)}};
  blocks.attention = {{"causal", true}};
  blocks.fused = Fused::thirds;
  blocks.stored = Stored::inputs_first;
  config.expect_flag("scale_attn_weights", true);
  config.expect_flag("scale_attn_by_inverse_layer_idx", false);
  config.expect_flag("add_cross_attention", false);
  if (const std::string head = config.first_word("architectures");
      !head.empty() && head != "GPT2LMHeadModel" && head != "GPT2Model")
    config.refuse("architectures", "found '" + head.substr(0, 60) + "'; expected GPT2LMHeadModel");
  return gpt_map(config, std::move(made), data, gpt);
}

}  // namespace basin
