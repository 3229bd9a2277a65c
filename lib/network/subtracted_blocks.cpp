#include "basin/network/subtracted_blocks.h"

#include "basin/network/layer_types.h"

namespace basin {
namespace {

using Pairs = std::vector<std::pair<std::string, std::string>>;

void add_pairs(const LayerDescription& layer, const std::string& prefix, Pairs& pairs) {
  if (layer.type == "attention" && option<std::string>(with_defaults(layer), "kernel") == "gaussian")
    pairs.emplace_back(prefix + "W_Q", prefix + "W_K");
  for (const LayerDescription& inner : layer.layers) {
    const std::string& name = inner.name.empty() && inner.layers.empty() ? inner.type : inner.name;
    add_pairs(inner, prefix + (name.empty() ? "" : name + "."), pairs);
  }
}

}  // namespace

std::vector<std::pair<std::string, std::string>> subtracted_blocks(const Architecture& a) {
  Pairs pairs;
  if (a.layers.size() == 1 && a.layers[0].layers.empty())
    add_pairs(a.layers[0], "", pairs);  // one layer alone has no prefix
  else
    add_pairs({"chain", {}, {}, a.layers}, "", pairs);
  return pairs;
}

}  // namespace basin
