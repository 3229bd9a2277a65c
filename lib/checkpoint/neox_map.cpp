#include <algorithm>

#include "basin/checkpoint/family_maps.h"

namespace basin {

CheckpointMap neox_map(const Configuration& config, MapBuilder made, const DataFacts& data) {
  TensorNames& names = made.names();
  const std::string m = names.find_prefix({"gpt_neox.", ""}, {"embed_in.weight", "final_layer_norm.weight"});
  TransformerBlocks blocks;
  const Index D = blocks.width = config.size({"hidden_size"}), V = config.size({"vocab_size"});
  blocks.layers = layer_count(config, {"num_hidden_layers"}, names);
  blocks.heads = config.size({"num_attention_heads"});
  blocks.head_dim = head_dimension(config, "num_attention_heads", blocks.heads, "hidden_size", D);
  blocks.hidden = config.size({"intermediate_size"});
  blocks.activation = activation_of(config, {"hidden_act"}, "gelu");
  blocks.norm = {{"epsilon", config.number({"layer_norm_eps"}, 1e-5)}};
  blocks.order = config.flag("use_parallel_residual", true) ? TransformerBlocks::Order::parallel
                                                            : TransformerBlocks::Order::pre;
  blocks.attention_bias = config.flag("attention_bias", true) ? "qkvo" : "";
  blocks.fused = Fused::heads;
  const Configuration rope = default_rope(config);
  const double share = rope.number({"partial_rotary_factor"}, config.number({"rotary_pct"}, 0.25)),
               turned = static_cast<double>(blocks.head_dim) * share;
  const auto dimensions =
      static_cast<Index>(std::clamp(turned, -1.0, 2.0 * static_cast<double>(blocks.head_dim)));
  if (dimensions < 0 || dimensions > blocks.head_dim || dimensions % 2 != 0)
    config.refuse("rotary_pct", "turns " + std::to_string(dimensions) + " of the " +
                                    std::to_string(blocks.head_dim) +
                                    " features of a head; expected an even number of them");
  blocks.attention = {{"causal", true}, {"rotary.dimensions", dimensions}};
  if (dimensions > 0)
    blocks.attention["rotary.base"] =
        rope.number({"rope_theta"}, config.number({"rotary_emb_base", "rope_theta"}, 10000));
  const Index most = config.size({"max_position_embeddings"}, std::max<Index>(data.tokens, 1));

  const bool tied = config.flag("tie_word_embeddings", false);
  const std::string l = m + "layers.{i}.", embedding = m + "embed_in.weight";
  made.add("embedding.E", embedding, {V, D});
  Architecture a;
  a.input = {tokens_for(config, "max_position_embeddings", most, data), 0};
  a.vocabulary = V;
  a.layers = {described("embedding", {{"width", D}, {"vocabulary", V}}),
              made.add_blocks(blocks, {.query = {},
                                       .key = {},
                                       .value = {},
                                       .qkv = l + "attention.query_key_value",
                                       .projection = l + "attention.dense",
                                       .norm1 = l + "input_layernorm",
                                       .norm2 = l + "post_attention_layernorm",
                                       .in = l + "mlp.dense_h_to_4h",
                                       .gate = {},
                                       .out = l + "mlp.dense_4h_to_h"}),
              described("layer-norm", blocks.norm, "final-norm"),
              made.add_head("embed_out.weight", embedding, D, V, tied)};
  made.add_norm("final-norm", m + "final_layer_norm", D, true);
  made.skip("*.attention.bias");  // the causal mask
  made.skip("*.attention.masked_bias");
  made.skip("*rotary_emb.inv_freq");
  return made.take(a);
}

}  // namespace basin
