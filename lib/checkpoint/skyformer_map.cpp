#include "basin/checkpoint/family_maps.h"
#include "basin/linalg/words.h"

namespace basin {

CheckpointMap skyformer_map(const Configuration& config, MapBuilder made, const DataFacts& data) {
  TensorNames& names = made.names();
  const std::string m = names.find_prefix(
      {"model.", ""}, {"embeddings.word_embeddings.weight", "embeddings.position_embeddings.weight"});
  const Index D = config.size({"transformer_dim"}), V = config.size({"vocab_size"}),
              classes = config.size({"num_classes"}, 2);
  const Index width = config.size({"embedding_dim"}, D);
  if (width != D)
    config.refuse("embedding_dim", "found " + std::to_string(width) + " beside transformer_dim = " +
                                       std::to_string(D) + ", which no layer here does; expected the same");
  // as many positions as are stored: max_seq_len is rounded up by the data's own padding
  const std::vector<Index>* stored = names.shape(m + "embeddings.position_embeddings.weight");
  const Index rows =
      stored != nullptr && stored->size() == 2 ? stored->front() : config.size({"max_seq_len"});
  if (const Index most = config.size({"max_seq_len"}, rows); rows < most)
    config.refuse("max_seq_len", "found " + std::to_string(most) + "; " + names.path() +
                                     " has positions for " + std::to_string(rows) + " tokens");
  TransformerBlocks blocks;
  blocks.width = D;
  blocks.layers = layer_count(config, {"num_layers"}, names);
  blocks.heads = config.size({"num_head"});
  blocks.head_dim = config.size({"head_dim"});
  blocks.hidden = config.size({"transformer_hidden_dim"});
  blocks.norm = {{"epsilon", 1e-5}};
  const std::string attention = config.word({"attn_type"});
  if (attention == "kernelized")
    blocks.attention["kernel"] = "gaussian";  // sigma^2 = sqrt(head_dim), the default
  else if (attention != "softmax")
    config.refuse("attn_type", "found " + shown(attention) + "; expected 'softmax' or 'kernelized'");
  config.expect_flag("tied_weights", false);
  if (const std::string pooling = config.word({"pooling_mode"}, "MEAN"); pooling != "MEAN")
    config.refuse("pooling_mode", "found " + shown(pooling) + ", which no layer here does; expected 'MEAN'");
  config.pass({"learn_pos_emb", "dropout_prob", "attention_dropout", "mixed_precision",
               "attention_grad_checkpointing", "num_feats", "random_seed"});

  const std::string e = m + "embeddings.", l = m + "transformer_{i}.", head = "seq_classifer.mlpblock.";
  made.add("embedding.E", e + "word_embeddings.weight", {V, D});
  made.add("positions.Pos", e + "position_embeddings.weight", {rows, D});
  Architecture a;
  a.input = {tokens_for(config, "max_seq_len", rows, data), 0};
  a.vocabulary = V;
  a.layers = {described("embedding", {{"width", D}, {"vocabulary", V}}),
              described("positions", {{"rows", rows}}),
              made.add_blocks(blocks, {.query = l + "mha.W_q",
                                       .key = l + "mha.W_k",
                                       .value = l + "mha.W_v",
                                       .qkv = {},
                                       .projection = l + "mha.ff",
                                       .norm1 = l + "norm1",
                                       .norm2 = l + "norm2",
                                       .in = l + "mlpblock.0",
                                       .gate = {},
                                       .out = l + "mlpblock.3"}),
              described("layer-norm", blocks.norm, "final-norm"),
              // the mean is over all places, the padded ones, too
              described("mask-rows"), described("pool", {{"by", "mean"}, {"over", "all"}}),
              described("linear", {{"outputs", blocks.hidden}}, "head-in"),
              described("activation", {{"function", "relu"}}),
              described("linear", {{"outputs", classes}}, "head-out")};
  made.add_norm("final-norm", m + "norm", D, true);
  made.add_linear("head-in", head + "0", D, blocks.hidden, true);
  made.add_linear("head-out", head + "2", blocks.hidden, classes, true);
  return made.take(a);
}

}  // namespace basin
