#include "model/architecture.h"

#include <algorithm>
#include <type_traits>

#include "linalg/errors.h"
#include "model/attention_model.h"
#include "model/layer_types.h"
#include "model/model.h"
#include "model/sequential.h"

namespace basin {
namespace {

std::vector<std::string> names_of(const Architecture& architecture) {
  std::vector<std::string> names;
  if (architecture.layers.size() == 1) return names;
  for (const LayerDescription& layer : architecture.layers) {
    const std::string& name = layer.name.empty() ? layer.type : layer.name;
    if (std::count(names.begin(), names.end(), name) > 0)
      throw InputError("two layers are called '" + name + "'; give them names, e.g. '" + name + "1' and '" +
                       name + "2'");
    names.push_back(name);
  }
  return names;
}

template <class S>
std::unique_ptr<const Layer<S>> network(const Architecture& architecture) {
  typename Sequential<S>::Layers layers;
  Shape shape = architecture.input;
  for (const LayerDescription& layer : architecture.layers) {
    const LayerType& type = layer_type(layer.type);
    if constexpr (std::is_same_v<S, double>)
      layers.push_back(type.make(with_defaults(layer), shape));
    else
      layers.push_back(type.make_float(with_defaults(layer), shape));
    shape = layers.back()->output();
  }
  return std::make_unique<Sequential<S>>(std::move(layers), names_of(architecture));
}

}  // namespace

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

template std::shared_ptr<const Model<double>> build(const Architecture&, const std::vector<std::string>&);
template std::shared_ptr<const Model<float>> build(const Architecture&, const std::vector<std::string>&);

}  // namespace basin
