#include "basin/network/saved_layers.h"

#include "basin/linalg/errors.h"

namespace basin {
namespace {

using Visit = std::function<void(const SavedLayer&)>;

void walk(const LayerDescription& layer, const std::string& prefix, const Saved<double>& saved,
          const Visit& visit);

/// Layers that have a part each: those of a chain, or branches.
void walk(const std::vector<LayerDescription>& layers, const std::string& prefix, const Saved<double>& saved,
          const Visit& visit) {
  const std::vector<std::string> names = block_prefixes(layers);
  for (std::size_t l = 0; l < layers.size(); ++l)
    walk(layers[l], prefix + names[l] + (names[l].empty() ? "" : "."), saved.parts[l], visit);
}

void walk(const LayerDescription& layer, const std::string& prefix, const Saved<double>& saved,
          const Visit& visit) {
  if (layer.layers.empty()) return visit({layer, prefix, saved});
  if (layer.type == "chain" || layer.type == "sum" || layer.type == "product") {
    walk(layer.layers, prefix, saved, visit);
  } else if (layer.type == "residual") {
    walk(layer.layers, prefix, saved.parts[0], visit);
  } else if (layer.type == "repeat") {
    if (saved.inputs_only) throw InputError("repeat: its inputs alone are kept; expected all of its layers");
    for (std::size_t t = 0; t < saved.parts.size(); ++t)
      walk(layer.layers, prefix + std::to_string(t) + ".", saved.parts[t], visit);
  }
}

}  // namespace

void for_each_saved(const Architecture& a, const Saved<double>& saved, const Visit& visit) {
  if (a.layers.size() == 1 && a.layers[0].layers.empty()) return visit({a.layers[0], "", saved});
  walk(a.layers, "", saved, visit);
}

}  // namespace basin
