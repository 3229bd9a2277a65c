#include "basin/checkpoint/family_maps.h"
#include "basin/linalg/words.h"

namespace basin {
namespace {

/// Sizes of the images, and of what they become.
struct Images {
  Index channels = 0, height = 0, width = 0, patch = 0;

  Index patches() const { return (height / patch) * (width / patch); }
};

Images images_of(const Configuration& config, const char* size_key, const char* patch_key,
                 const char* channels_key) {
  const auto [height, width] = config.sides(size_key);
  const auto [patch, other] = config.sides(patch_key);
  if (patch != other || height % patch != 0 || width % patch != 0)
    config.refuse(patch_key, "found patches of " + std::to_string(patch) + " x " + std::to_string(other) +
                                 " of images of " + std::to_string(height) + " x " + std::to_string(width) +
                                 "; expected squares that tile them");
  return {config.size({channels_key}, 3), height, width, patch};
}

/// Patches, class token, positions; blocks; norm, the first token, head.
struct VitNames {
  std::string patch, token, positions, norm, head;
  BlockNames blocks;
};

CheckpointMap vision_map(MapBuilder made, const Images& images, const TransformerBlocks& blocks,
                         const VitNames& names, Index classes) {
  const Index D = blocks.width, pixels = images.channels * images.patch * images.patch,
              tokens = images.patches() + 1;
  Architecture a;
  a.input = {images.channels * images.height, images.width};
  a.channels = images.channels;
  // a convolution whose stride is its size: (outputs, channels, rows, columns)
  made.add("patch-embedding.W", names.patch + ".weight", {D, images.channels, images.patch, images.patch},
           {D, pixels}, {}, {1, 0});
  made.add("patch-embedding.b", names.patch + ".bias", {D});
  made.add("class-token.token", names.token, {1, 1, D}, {D});
  made.add("positions.Pos", names.positions, {1, tokens, D}, {tokens, D});
  a.layers = {described("patches", {{"size", images.patch}, {"channels", images.channels}}),
              described("linear", {{"outputs", D}}, "patch-embedding"),
              described("class-token"),
              described("positions", {{"rows", tokens}}),
              made.add_blocks(blocks, names.blocks),
              described("layer-norm", blocks.norm, "final-norm"),
              described("pool", {{"by", "first"}, {"over", "all"}}),
              described("linear", {{"outputs", classes}}, "head")};
  made.add_norm("final-norm", names.norm, D, true);
  made.add_linear("head", names.head, D, classes, true);
  return made.take(a);
}

Index classes_of(const TensorNames& names, const std::string& head, Index fallback) {
  const std::vector<Index>* shape = names.shape(head + ".weight");
  return shape != nullptr && shape->size() == 2 ? shape->front() : fallback;
}

/// Heads of the models that timm names so: each has 64 numbers.
std::optional<Index> heads_of(const std::string& architecture) {
  for (const auto& [name, heads] : {std::pair{"_tiny_", 3}, {"_small_", 6}, {"_base_", 12}, {"_large_", 16}})
    if (architecture.find(name) != std::string::npos) return heads;
  return std::nullopt;
}

}  // namespace

CheckpointMap vit_map(const Configuration& config, MapBuilder made, const DataFacts& /*data*/) {
  const std::string v = made.names().find_prefix(
      {"vit.", ""}, {"embeddings.cls_token", "embeddings.position_embeddings", "layernorm.weight"});
  const Images images = images_of(config, "image_size", "patch_size", "num_channels");
  TransformerBlocks blocks;
  blocks.width = config.size({"hidden_size"});
  blocks.layers = layer_count(config, {"num_hidden_layers"}, made.names());
  blocks.heads = config.size({"num_attention_heads"});
  blocks.head_dim = head_dimension(config, "num_attention_heads", blocks.heads, "hidden_size", blocks.width);
  blocks.hidden = config.size({"intermediate_size"});
  blocks.activation = activation_of(config, {"hidden_act"}, "gelu");
  blocks.norm = {{"epsilon", config.number({"layer_norm_eps"}, 1e-12)}};
  blocks.attention_bias = config.flag("qkv_bias", true) ? "qkvo" : "o";
  const std::string l = v + "encoder.layer.{i}.", head = "classifier";
  const Index classes = classes_of(made.names(), head, 2);
  return vision_map(std::move(made), images, blocks,
                    {v + "embeddings.patch_embeddings.projection",
                     v + "embeddings.cls_token",
                     v + "embeddings.position_embeddings",
                     v + "layernorm",
                     head,
                     {.query = l + "attention.attention.query",
                      .key = l + "attention.attention.key",
                      .value = l + "attention.attention.value",
                      .qkv = {},
                      .projection = l + "attention.output.dense",
                      .norm1 = l + "layernorm_before",
                      .norm2 = l + "layernorm_after",
                      .in = l + "intermediate.dense",
                      .gate = {},
                      .out = l + "output.dense"}},
                    classes);
}

CheckpointMap timm_map(const Configuration& config, MapBuilder made, const DataFacts& /*data*/) {
  TensorNames& names = made.names();
  names.find_prefix({""}, {"patch_embed.proj.weight", "pos_embed", "cls_token"});
  const Configuration args = config.object("model_args");
  const std::string name = config.word({"architecture"}, "");
  // what model_args leave out is in the name: vit_tiny_patch16_224, and in the tensors
  const std::vector<Index>* patch = names.shape("patch_embed.proj.weight");
  const bool four = patch != nullptr && patch->size() == 4;
  Images images;
  const std::size_t under = name.find_last_of('_');
  if (args.has("img_size") || under == std::string::npos) {
    std::tie(images.height, images.width) = args.sides("img_size");
  } else {
    const std::string side = name.substr(under + 1, name.find('.', under + 1) - under - 1);
    if (side.empty() || side.size() > 5 || side.find_first_not_of("0123456789") != std::string::npos)
      config.refuse("architecture", "found " + shown(name) + "; expected 'img_size' in 'model_args'");
    images.height = images.width = std::stoll(side);
  }
  images.patch = args.size({"patch_size"}, four ? (*patch)[2] : 16);
  images.channels = args.size({"in_chans"}, four ? (*patch)[1] : 3);
  if (images.patch < 1 || images.height % images.patch != 0 || images.width % images.patch != 0)
    config.refuse("model_args", "patches of " + std::to_string(images.patch) + " do not tile images of " +
                                    std::to_string(images.height) + " x " + std::to_string(images.width));
  for (const std::string& pool : {args.word({"global_pool"}, "token"), config.word({"global_pool"}, "token")})
    if (pool != "token")
      config.refuse("global_pool", "found " + shown(pool) + ", which no layer here does; expected 'token'");
  args.expect_flag("no_embed_class", false);
  args.expect_flag("qk_norm", false);
  args.expect_flag("class_token", true);
  args.expect_flag("dynamic_img_size", false);
  args.expect_flag("pre_norm", false);
  args.expect_absent("init_values");
  args.pass({"num_classes", "drop_rate", "pos_drop_rate", "patch_drop_rate", "proj_drop_rate",
             "attn_drop_rate", "drop_path_rate", "weight_init", "fix_init", "strict_img_size"});

  TransformerBlocks blocks;
  blocks.width = args.size({"embed_dim"}, config.has("num_features")
                                              ? std::optional<Index>(config.size({"num_features"}))
                                              : std::nullopt);
  Index layers = 0;
  while (names.has("blocks." + std::to_string(layers) + ".norm1.weight")) ++layers;
  blocks.layers = args.has("depth") ? layer_count(args, {"depth"}, names) : std::max<Index>(layers, 1);
  blocks.heads = args.size({"num_heads"}, heads_of(name));
  blocks.head_dim = head_dimension(args, "num_heads", blocks.heads, "embed_dim", blocks.width);
  blocks.hidden = static_cast<Index>(static_cast<double>(blocks.width) * args.number({"mlp_ratio"}, 4.0));
  blocks.activation = activation_of(args, {"act_layer"}, "gelu");
  blocks.norm = {{"epsilon", args.number({"norm_eps"}, 1e-6)}};
  blocks.attention_bias = args.flag("qkv_bias", true) ? "qkvo" : "o";
  blocks.fused = Fused::thirds;
  for (const std::string& key : args.unread())
    args.refuse(key, "is no option of the Vision Transformers here; expected it left out");
  const std::string l = "blocks.{i}.";
  const Index classes = config.size({"num_classes"}, classes_of(names, "head", 1000));
  return vision_map(std::move(made), images, blocks,
                    {"patch_embed.proj",
                     "cls_token",
                     "pos_embed",
                     "norm",
                     "head",
                     {.query = {},
                      .key = {},
                      .value = {},
                      .qkv = l + "attn.qkv",
                      .projection = l + "attn.proj",
                      .norm1 = l + "norm1",
                      .norm2 = l + "norm2",
                      .in = l + "mlp.fc1",
                      .gate = {},
                      .out = l + "mlp.fc2"}},
                    classes);
}

}  // namespace basin
