#include "basin/checkpoint/family_maps.h"

namespace basin {

CheckpointMap bert_map(const Configuration& config, MapBuilder made, const DataFacts& data) {
  TensorNames& names = made.names();
  const std::string b = names.find_prefix(
      {"bert.", ""}, {"embeddings.word_embeddings.weight", "embeddings.position_embeddings.weight"});
  const Index V = config.size({"vocab_size"}), rows = config.size({"max_position_embeddings"}),
              types = config.size({"type_vocab_size"}, 2);
  TransformerBlocks blocks;
  const Index D = blocks.width = config.size({"hidden_size"});
  blocks.layers = layer_count(config, {"num_hidden_layers"}, names);
  blocks.heads = config.size({"num_attention_heads"});
  blocks.head_dim = head_dimension(config, "num_attention_heads", blocks.heads, "hidden_size", D);
  blocks.hidden = config.size({"intermediate_size"});
  blocks.activation = activation_of(config, {"hidden_act"}, "gelu");
  blocks.order = TransformerBlocks::Order::post;
  blocks.norm = {{"epsilon", config.number({"layer_norm_eps"}, 1e-12)}};
  config.expect_word("position_embedding_type", "absolute");
  config.expect_flag("is_decoder", false);
  config.expect_flag("add_cross_attention", false);

  const std::string e = b + "embeddings.";
  made.add("embedding.E", e + "word_embeddings.weight", {V, D});
  made.add("embedding.Types", e + "token_type_embeddings.weight", {types, D});
  made.add("positions.Pos", e + "position_embeddings.weight", {rows, D});
  made.add_norm("embedding-norm", e + "LayerNorm", D, true);
  Architecture a;
  a.input = {tokens_for(config, "max_position_embeddings", rows, data), 0};
  a.vocabulary = V;
  a.token_types = types;
  const std::string l = b + "encoder.layer.{i}.";
  a.layers = {described("embedding", {{"width", D}, {"vocabulary", V}, {"types", types}}),
              described("positions", {{"rows", rows}}),
              described("layer-norm", blocks.norm, "embedding-norm"),
              made.add_blocks(blocks, {.query = l + "attention.self.query",
                                       .key = l + "attention.self.key",
                                       .value = l + "attention.self.value",
                                       .qkv = {},
                                       .projection = l + "attention.output.dense",
                                       .norm1 = l + "attention.output.LayerNorm",
                                       .norm2 = l + "output.LayerNorm",
                                       .in = l + "intermediate.dense",
                                       .gate = {},
                                       .out = l + "output.dense"})};
  const auto add_linear = [&](const std::string& layer, const std::string& tensor, Index outputs) {
    made.add_linear(layer, tensor, D, outputs, true);
    a.layers.push_back(described("linear", {{"outputs", outputs}}, layer));
  };

  const std::string kind = config.first_word("architectures"), p = "cls.predictions.";
  const bool tokens = kind == "BertForTokenClassification";
  if (names.has(p + "transform.dense.weight") || kind == "BertForMaskedLM") {
    add_linear("mlm-transform", p + "transform.dense", D);
    a.layers.push_back(described("activation", {{"function", blocks.activation}}));
    made.add_norm("mlm-norm", p + "transform.LayerNorm", D, true);
    a.layers.push_back(described("layer-norm", blocks.norm, "mlm-norm"));
    // its bias stands beside it, and maybe in it
    const bool tied = config.flag("tie_word_embeddings", true);
    const std::string bias =
        names.has(p + "bias") || !names.has(p + "decoder.bias") ? "bias" : "decoder.bias";
    a.layers.push_back(made.add_head(p + "decoder.weight", e + "word_embeddings.weight", D, V, tied));
    a.layers.back().options["bias"] = true;
    made.add("head.b", p + bias, {V});
    made.add_copy(p + "decoder.bias", p + bias);
  } else if (names.has("classifier.weight") || kind == "BertForSequenceClassification" || tokens) {
    const std::vector<Index>* shape = names.shape("classifier.weight");
    Index classes = shape != nullptr && shape->size() == 2 ? shape->front() : 2;
    if (config.has("num_labels")) classes = config.size({"num_labels"});
    if (!tokens && names.has(b + "pooler.dense.weight")) {
      a.layers.push_back(described("pool", {{"by", "first"}, {"over", "all"}}));
      add_linear("pooler", b + "pooler.dense", D);
      a.layers.push_back(described("activation", {{"function", "tanh"}}));
    } else if (kind == "BertForSequenceClassification") {
      add_linear("pooler", b + "pooler.dense", D);  // is missing, which is said
    }
    add_linear("head", "classifier", classes);
  }
  made.skip("*embeddings.position_ids");
  made.skip("*embeddings.token_type_ids");
  return made.take(a);
}

}  // namespace basin
