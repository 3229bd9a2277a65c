#include "basin/checkpoint/family_maps.h"
#include "basin/linalg/words.h"

namespace basin {

CheckpointMap llama_map(const Configuration& config, MapBuilder made, const DataFacts& data) {
  TensorNames& names = made.names();
  const std::string type = config.word({"model_type"});
  const std::string m = names.find_prefix({"model.", ""}, {"embed_tokens.weight", "norm.weight"});
  TransformerBlocks blocks;
  const Index D = blocks.width = config.size({"hidden_size"}), V = config.size({"vocab_size"});
  blocks.layers = layer_count(config, {"num_hidden_layers"}, names);
  blocks.heads = config.size({"num_attention_heads"});
  blocks.head_dim = config.has("head_dim")
                        ? config.size({"head_dim"})
                        : head_dimension(config, "num_attention_heads", blocks.heads, "hidden_size", D);
  blocks.kv_heads = config.size({"num_key_value_heads"}, blocks.heads);
  if (blocks.heads % blocks.kv_heads != 0)
    config.refuse("num_key_value_heads",
                  "found " + std::to_string(blocks.kv_heads) +
                      "; expected a divisor of num_attention_heads = " + std::to_string(blocks.heads));
  blocks.hidden = config.size({"intermediate_size"});
  blocks.activation = activation_of(config, {"hidden_act"}, "silu");
  blocks.gated = blocks.rms = true;
  blocks.norm = {{"epsilon", config.number({"rms_norm_eps"}, 1e-6)}};
  blocks.mlp_bias = config.flag("mlp_bias", false);
  if (type == "qwen2")
    blocks.attention_bias = "qkv";
  else
    blocks.attention_bias = config.flag("attention_bias", false) ? "qkvo" : "";

  // positions: every feature is turned, pair i with i + d / 2
  const Configuration rope = default_rope(config);
  if (config.number({"partial_rotary_factor"}, 1) != 1 || rope.number({"partial_rotary_factor"}, 1) != 1)
    config.refuse("partial_rotary_factor", "expected 1: every feature is turned");
  blocks.attention = {{"causal", true},
                      {"rotary.dimensions", blocks.head_dim},
                      {"rotary.base", rope.number({"rope_theta"}, config.number({"rope_theta"}, 10000))}};
  const Index most = config.size({"max_position_embeddings"}, std::max<Index>(data.tokens, 1)),
              tokens = tokens_for(config, "max_position_embeddings", most, data);
  if (config.flag("use_sliding_window", type == "mistral") && config.has("sliding_window") &&
      config.size({"sliding_window"}) < tokens)
    config.refuse("sliding_window", "found " + std::to_string(config.size({"sliding_window"})) +
                                        ", shorter than inputs of " + std::to_string(tokens) +
                                        " tokens, which no layer here does");

  const bool tied = config.flag("tie_word_embeddings", false);
  const bool by_head = tied && !names.has(m + "embed_tokens.weight") && names.has("lm_head.weight");
  const std::string embedding = by_head ? "lm_head.weight" : m + "embed_tokens.weight", l = m + "layers.{i}.";
  made.add("embedding.E", embedding, {V, D});
  Architecture a;
  a.input = {tokens, 0};
  a.vocabulary = V;
  a.layers = {described("embedding", {{"width", D}, {"vocabulary", V}}),
              made.add_blocks(blocks, {.query = l + "self_attn.q_proj",
                                       .key = l + "self_attn.k_proj",
                                       .value = l + "self_attn.v_proj",
                                       .qkv = {},
                                       .projection = l + "self_attn.o_proj",
                                       .norm1 = l + "input_layernorm",
                                       .norm2 = l + "post_attention_layernorm",
                                       .in = l + "mlp.up_proj",
                                       .gate = l + "mlp.gate_proj",
                                       .out = l + "mlp.down_proj"}),
              described("rms-norm", blocks.norm, "final-norm"),
              made.add_head("lm_head.weight", embedding, D, V, tied)};
  made.add_norm("final-norm", m + "norm", D, false);
  made.skip("*rotary_emb.inv_freq");
  return made.take(a);
}

}  // namespace basin
