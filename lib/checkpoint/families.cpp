#include "basin/checkpoint/families.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>

#include "basin/checkpoint/family_maps.h"
#include "basin/linalg/errors.h"
#include "basin/linalg/words.h"

namespace basin {
namespace {

struct Family {
  std::string model_type, name;
  CheckpointMap (*map)(const Configuration&, MapBuilder, const DataFacts&);
  bool own_keys = false;  ///< the configuration has few keys, and each is known
};

const std::vector<Family>& families() {
  static const std::vector<Family> all = {
      {"torch_transformer_encoder", "nn.TransformerEncoder of PyTorch", torch_encoder_map, true},
      {"nanogpt", "nanoGPT", nanogpt_map, true},
      {"gpt2", "GPT-2 of Hugging Face", gpt2_map},
      {"bert", "BERT of Hugging Face", bert_map},
      {"vit", "ViT of Hugging Face", vit_map},
      {"timm", "ViT of timm", timm_map},
      {"skyformer", "Skyformer", skyformer_map, true},
      {"llama", "Llama of Hugging Face", llama_map},
      {"mistral", "Mistral of Hugging Face", llama_map},
      {"qwen2", "Qwen2 of Hugging Face", llama_map},
      {"gpt_neox", "GPT-NeoX of Hugging Face", neox_map}};
  return all;
}

/// What the configuration says, or what its keys show.
std::string model_type(const Configuration& config) {
  if (config.has("model_type")) return config.word({"model_type"});
  if (config.has("architecture") && config.word({"architecture"}).starts_with("vit")) return "timm";
  std::string list;
  for (const std::string& type : model_types()) list += (list.empty() ? "" : ", ") + type;
  throw InputError(config.path() + ": 'model_type' is missing; expected " +
                   (config.has("n_embd") && config.has("block_size")
                        ? "\"nanogpt\" beside these keys, or another of "
                        : "one of ") +
                   list);
}

/// A token id, or -1: there is none, which some write as a negative one.
Index padding_of(const Configuration& config) {
  const double id = config.number({"pad_token_id"}, -1);
  if (id != std::floor(id) || std::abs(id) > std::numeric_limits<std::int32_t>::max())
    config.refuse("pad_token_id", "found " + std::to_string(id) + "; expected the id of a token");
  return std::max<Index>(static_cast<Index>(id), -1);
}

}  // namespace

std::vector<std::string> model_types() {
  std::vector<std::string> types;
  for (const Family& family : families()) types.push_back(family.model_type);
  return types;
}

FamilyMap family_map(const Configuration& config, const Checkpoint& checkpoint, const DataFacts& data) {
  const std::string type = model_type(config);
  const auto family = std::find_if(families().begin(), families().end(),
                                   [&](const Family& f) { return f.model_type == type; });
  if (family == families().end())
    config.refuse("model_type", "unknown family " + shown(type) + meant(type, model_types()));
  FamilyMap made = {
      family->map(config, MapBuilder(TensorNames(checkpoint)), data), family->name, {}, padding_of(config)};
  if (family->own_keys) {
    config.pass({"model_type", "architectures", "torch_dtype", "dtype", "transformers_version"});
    made.unread = config.unread();
  } else {
    // what would change the network, if it were read
    static const std::vector<std::string> kWords = {"eps",  "act",  "norm", "rope", "rotary", "head",
                                                    "bias", "scal", "tie_", "pool", "window"};
    made.unread = config.unread_with(kWords);
  }
  return made;
}

Index tokens_for(const Configuration& config, const std::string& key, Index positions,
                 const DataFacts& data) {
  if (data.tokens > positions)
    config.refuse(key, "has positions for " + std::to_string(positions) + " tokens; found inputs of " +
                           std::to_string(data.tokens));
  return data.tokens > 0 ? data.tokens : positions;
}

}  // namespace basin
