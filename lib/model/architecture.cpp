#include "model/architecture.h"

#include <algorithm>

#include "linalg/errors.h"
#include "model/attention_model.h"
#include "model/layer_types.h"
#include "model/model.h"
#include "model/sequential.h"

namespace basin {
namespace {

/// What the blocks of each layer are prefixed by: a layer's name or type, a container's name.
std::vector<std::string> prefixes(const std::vector<LayerDescription>& layers) {
  std::vector<std::string> names;
  for (const LayerDescription& layer : layers) {
    const std::string& name = layer.name.empty() && layer.layers.empty() ? layer.type : layer.name;
    if (!name.empty() && std::count(names.begin(), names.end(), name) > 0)
      throw InputError("two layers are called '" + name + "'; give them names, e.g. '" + name + "1' and '" +
                       name + "2'");
    names.push_back(name);
  }
  return names;
}

/// The network: one layer alone has no prefix.
template <class S>
std::unique_ptr<const Layer<S>> network(const Architecture& a) {
  if (a.layers.size() == 1 && a.layers[0].layers.empty()) return make_layer<S>(a.layers[0], a.input);
  return chain<S>(a.layers, a.input);
}

}  // namespace

template <class S>
std::unique_ptr<const Layer<S>> chain(const std::vector<LayerDescription>& described, Shape input) {
  typename Sequential<S>::Layers layers;
  Shape shape = input;
  for (const LayerDescription& layer : described) {
    layers.push_back(make_layer<S>(layer, shape));
    shape = layers.back()->output();
  }
  return std::make_unique<Sequential<S>>(std::move(layers), prefixes(described));
}

std::vector<ParameterBlock> blocks(const Architecture& architecture) {
  return network<double>(architecture)->blocks();
}

template <class S>
std::shared_ptr<const Model<S>> build(const Architecture& architecture,
                                      const std::vector<std::string>& trainable) {
  if (const auto spec = single_attention(architecture)) return build_single_attention<S>(*spec, trainable);
  return std::make_shared<const Model<S>>(architecture, network<S>(architecture),
                                          make_loss<S>(architecture.loss), trainable);
}

template std::unique_ptr<const Layer<double>> chain(const std::vector<LayerDescription>&, Shape);
template std::unique_ptr<const Layer<float>> chain(const std::vector<LayerDescription>&, Shape);
template std::shared_ptr<const Model<double>> build(const Architecture&, const std::vector<std::string>&);
template std::shared_ptr<const Model<float>> build(const Architecture&, const std::vector<std::string>&);

}  // namespace basin
