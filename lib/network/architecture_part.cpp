#include "basin/network/architecture_part.h"

#include <optional>

#include "basin/linalg/errors.h"
#include "basin/linalg/words.h"
#include "basin/network/layer_types.h"

namespace basin {
namespace {

using Layers = std::vector<LayerDescription>;

LayerDescription chain_of(std::string name, Layers layers) {
  return {"chain", {}, std::move(name), std::move(layers)};
}

/// A layer with each of its repetitions as a chain: what is inside is called by the same names.
LayerDescription written_out(const LayerDescription& layer) {
  const auto times = layer.options.find("times");
  if (times == layer.options.end()) return layer;
  LayerDescription all = chain_of(layer.name, {});
  for (Index t = 0; t < std::get<Index>(times->second); ++t)
    all.layers.push_back(chain_of(std::to_string(t), layer.layers));
  return all;
}

/// The indices that lead to a layer through lists in which repetitions are written out; empty: it is not
/// there. `layers` have them written out along the way.
std::vector<std::size_t> find(Layers& layers, const std::string& prefix, const std::string& path) {
  const std::vector<std::string> names = block_prefixes(layers);
  for (std::size_t l = 0; l < layers.size(); ++l) {
    const std::string own = prefix + names[l];
    if (layers[l].layers.empty()) {
      if (own == path) return {l};
      continue;
    }
    const std::string inside = own + (names[l].empty() ? "" : ".");
    if (path.compare(0, inside.size(), inside) != 0) continue;
    LayerDescription out = written_out(layers[l]);
    std::vector<std::size_t> rest = find(out.layers, inside, path);
    if (rest.empty()) continue;
    layers[l] = std::move(out);
    rest.insert(rest.begin(), l);
    return rest;
  }
  return {};
}

/// The network with all repetitions along the path written out, and the way to its layer.
struct Way {
  Architecture network;
  std::vector<std::size_t> indices;
};

Way way_to(const Architecture& architecture, const std::string& path) {
  static_cast<void>(layer_at(architecture, path));
  Way way = {architecture, {}};
  way.indices = find(way.network.layers, "", path);
  return way;
}

}  // namespace

LayerPlace layer_at(const Architecture& architecture, const std::string& path,
                    const std::function<bool(const LayerDescription&)>& suits) {
  std::optional<LayerPlace> found;
  std::vector<std::string> paths;
  for_each_layer(architecture, [&](const LayerDescription& layer, Shape input, const std::string& prefix) {
    if (!layer.layers.empty() || prefix.empty() || own_blocks(layer, input).empty()) return;
    const std::string own = prefix.substr(0, prefix.size() - 1);
    if (own == path) found = {layer, input};
    if (!suits || suits(layer)) paths.push_back(own);
  });
  if (found) return *found;
  if (paths.empty())
    throw InputError("unknown layer " + shown(path) + "; the network has none that can be asked for");
  std::string list;
  for (const std::string& known : nearest(path, paths, 5)) list += (list.empty() ? "" : ", ") + known;
  throw InputError("unknown layer " + shown(path) + "; expected one of " + list +
                   (paths.size() > 5 ? ", ... (" + std::to_string(paths.size()) + " layers)" : ""));
}

Architecture with_layers_at(const Architecture& architecture, const std::string& path,
                            const std::vector<LayerDescription>& layers) {
  Way way = way_to(architecture, path);
  Layers* list = &way.network.layers;
  std::string inside = "layers";
  for (std::size_t depth = 0; depth + 1 < way.indices.size(); ++depth) {
    LayerDescription& container = (*list)[way.indices[depth]];
    inside = layer_type(container.type).inside;
    list = &container.layers;
  }
  const auto place = list->begin() + static_cast<std::ptrdiff_t>(way.indices.back());
  if (inside == "branches" && layers.size() != 1) {
    *place = chain_of("", layers);
  } else {
    const auto next = list->erase(place);
    list->insert(next, layers.begin(), layers.end());
  }
  return way.network;
}

}  // namespace basin
