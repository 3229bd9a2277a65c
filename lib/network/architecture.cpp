#include "basin/network/architecture.h"

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

/// Ids that the inputs may have must be rows of every embedding.
void check_vocabulary(const std::vector<LayerDescription>& layers, Index vocabulary) {
  for (const LayerDescription& layer : layers) {
    check_vocabulary(layer.layers, vocabulary);
    const auto rows = layer.options.find("vocabulary");
    if (rows == layer.options.end() || !std::holds_alternative<Index>(rows->second)) continue;
    if (std::get<Index>(rows->second) < vocabulary)
      throw InputError(layer.type + ": vocabulary = " + std::to_string(std::get<Index>(rows->second)) +
                       "; expected at least that of the inputs, " + std::to_string(vocabulary));
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
  check_vocabulary(a.layers, a.vocabulary);
  // One layer alone has no prefix.
  if (a.layers.size() == 1 && a.layers[0].layers.empty()) return make_layer<S>(a.layers[0], a.input);
  return chain<S>(a.layers, a.input);
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
