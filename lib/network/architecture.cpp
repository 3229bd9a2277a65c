#include "basin/network/architecture.h"

#include <algorithm>

#include "basin/linalg/errors.h"
#include "basin/network/layer_types.h"
#include "basin/network/sequential.h"

namespace basin {
namespace {

constexpr double kMostLayers = 1e5;

/// With all repetitions.
double count(const std::vector<LayerDescription>& layers) {
  double sum = 0;
  for (const LayerDescription& layer : layers) {
    const auto times = layer.options.find("times");
    const bool repeats = times != layer.options.end() && std::holds_alternative<Index>(times->second);
    sum += 1 + count(layer.layers) * (repeats ? static_cast<double>(std::get<Index>(times->second)) : 1);
  }
  return sum;
}

/// Ids and types that the inputs may have must be rows of every embedding, if it has rows for such.
void check_vocabulary(const std::vector<LayerDescription>& layers, const Architecture& of) {
  for (const LayerDescription& layer : layers) {
    check_vocabulary(layer.layers, of);
    for (const auto& [name, most] : {std::pair{"vocabulary", of.vocabulary}, {"types", of.token_types}}) {
      const auto rows = layer.options.find(name);
      if (rows == layer.options.end() || !std::holds_alternative<Index>(rows->second)) continue;
      const Index there = std::get<Index>(rows->second);
      if (there < most && (there > 0 || name == std::string("vocabulary")))
        throw InputError(layer.type + ": " + name + " = " + std::to_string(there) +
                         "; expected at least that of the inputs, " + std::to_string(most));
      if (there > 0 && most == 0 && name == std::string("types"))
        throw InputError(layer.type + ": types = " + std::to_string(there) +
                         "; expected inputs with token-types");
    }
  }
}

/// A pool leaves one token, which attention has nothing to choose from: nobody means that.
void check_pools(const std::vector<LayerDescription>& layers, bool& pooled) {
  for (const LayerDescription& layer : layers) {
    if (layer.type == "pool") pooled = true;
    if (pooled && layer.type == "attention")
      throw InputError("attention: behind a pool, which leaves one token a sample; expected it before");
    const bool before = pooled;
    for (const LayerDescription& inside : layer.layers) {
      if (layer_type(layer.type).inside == "branches") pooled = before;
      check_pools({inside}, pooled);
    }
  }
}

}  // namespace

std::vector<std::string> block_prefixes(const std::vector<LayerDescription>& layers) {
  std::vector<std::string> names;
  for (const LayerDescription& layer : layers)
    names.push_back(layer.name.empty() && layer.layers.empty() ? layer.type : layer.name);
  return names;
}

template <class S>
std::unique_ptr<const Layer<S>> chain(const std::vector<LayerDescription>& described, Shape input) {
  typename Sequential<S>::Layers layers;
  Shape shape = input;
  for (const LayerDescription& layer : described) {
    layers.push_back(make_layer<S>(layer, shape));
    shape = layers.back()->output();
  }
  return std::make_unique<Sequential<S>>(std::move(layers), block_prefixes(described));
}

template <class S>
std::unique_ptr<const Layer<S>> make_network(const Architecture& a) {
  if (count(a.layers) > kMostLayers)
    throw InputError("more than " + std::to_string(static_cast<Index>(kMostLayers)) +
                     " layers, repetitions counted; expected fewer");
  check_vocabulary(a.layers, a);
  bool pooled = false;
  check_pools(a.layers, pooled);
  // One layer alone has no prefix.
  if (a.layers.size() == 1 && a.layers[0].layers.empty()) return make_layer<S>(a.layers[0], a.input);
  return chain<S>(a.layers, a.input);
}

void for_each_layer(const Architecture& a,
                    const std::function<void(const LayerDescription&, Shape, const std::string&)>& visit) {
  static_cast<void>(make_network<double>(a));  // refuses what cannot be
  const std::function<void(const std::vector<LayerDescription>&, Shape, const std::string&, bool)> walk =
      [&](const std::vector<LayerDescription>& layers, Shape shape, const std::string& prefix, bool in_turn) {
        const std::vector<std::string> names = block_prefixes(layers);
        for (std::size_t l = 0; l < layers.size(); ++l) {
          const LayerDescription& layer = layers[l];
          const std::string own = prefix + names[l] + (names[l].empty() ? "" : ".");
          visit(layer, shape, own);
          const auto times = layer.options.find("times");
          if (times == layer.options.end())
            walk(layer.layers, shape, own, layer_type(layer.type).inside != "branches");
          else
            for (Index t = 0; t < std::get<Index>(times->second); ++t)
              walk(layer.layers, shape, own + std::to_string(t) + ".", true);
          if (in_turn) shape = make_layer<double>(layer, shape)->output();
        }
      };
  if (a.layers.size() == 1 && a.layers[0].layers.empty()) return visit(a.layers[0], a.input, "");
  walk(a.layers, a.input, "", true);
}

std::vector<ParameterBlock> own_blocks(const LayerDescription& description, Shape input) {
  const auto layer = make_layer<double>(description, input);
  return layer->reparametrisation() ? layer->reparametrisation()->blocks() : layer->blocks();
}

std::vector<ParameterBlock> blocks(const Architecture& architecture) {
  const auto network = make_network<double>(architecture);
  const auto* made_of = network->reparametrisation();
  auto all = made_of ? made_of->blocks() : network->blocks();
  for (const ParameterBlock& block : all) {
    constexpr double kLargest = 0x1p40;
    double size = 1;
    for (const Index extent : block.shape) size *= static_cast<double>(extent);
    if (size > kLargest) throw InputError("parameter block " + block.name + " has more than 2^40 numbers");
  }
  if (all.empty()) throw InputError("the network has no parameters");
  static_cast<void>(ParameterLayout(all, matching_blocks({"*"}, all)));  // refuses two blocks of one name
  return all;
}

bool pools(const Architecture& architecture) {
  const std::function<bool(const LayerDescription&)> is_pool = [&](const LayerDescription& layer) {
    return layer.type == "pool" || std::any_of(layer.layers.begin(), layer.layers.end(), is_pool);
  };
  return std::any_of(architecture.layers.begin(), architecture.layers.end(), is_pool);
}

std::string summary(const Architecture& architecture) {
  std::vector<std::pair<std::string, Index>> runs;
  for (const LayerDescription& layer : architecture.layers) {
    if (runs.empty() || runs.back().first != layer.type) runs.emplace_back(layer.type, 0);
    ++runs.back().second;
  }
  std::string text;
  for (const auto& [type, count] : runs)
    text += (text.empty() ? "" : ", ") + (count > 1 ? std::to_string(count) + " " : "") + type;
  return text;
}

Shape output_shape(const Architecture& architecture) {
  return make_network<double>(architecture)->output();
}

template std::unique_ptr<const Layer<double>> chain(const std::vector<LayerDescription>&, Shape);
template std::unique_ptr<const Layer<float>> chain(const std::vector<LayerDescription>&, Shape);
template std::unique_ptr<const Layer<double>> make_network(const Architecture&);
template std::unique_ptr<const Layer<float>> make_network(const Architecture&);

}  // namespace basin
