#include "basin/network/layer_types.h"

#include <algorithm>

#include "basin/linalg/errors.h"
#include "basin/network/attention_layers.h"
#include "basin/network/linear.h"

namespace basin {
namespace {

LayerType linear() {
  return typed("linear", {{"outputs", Index{}, true}},
               [](const LayerDescription& layer, Shape input, auto scalar) {
                 using S = decltype(scalar);
                 const auto outputs = option<Index>(layer, "outputs");
                 if (outputs < 1)
                   throw InputError("linear: outputs = " + std::to_string(outputs) + "; expected at least 1");
                 return std::unique_ptr<const Layer<S>>(std::make_unique<Linear<S>>(input, outputs, "W"));
               });
}

LayerType attention() {
  return typed("attention",
               {{"heads", Index{}, true},
                {"head-dim", Index{}, true},
                {"kv-heads", Index{0}},
                {"outputs", Index{0}},
                {"kernel", "softmax"},
                {"bandwidth", 0.0},
                {"bias", ""},
                {"causal", false},
                {"rotary.dimensions", Index{0}},
                {"rotary.base", 10000.0},
                {"rotary.pairing", "halves"}},
               [](const LayerDescription& layer, Shape input, auto scalar) {
                 return make_attention<decltype(scalar)>(attention_spec(layer, input), ScoreRules::factored);
               });
}

std::vector<LayerType>& types() {
  static std::vector<LayerType> all = {attention(), linear()};
  return all;
}

const char* kind_of(const LayerOption& option) {
  constexpr const char* kKinds[] = {"an integer", "a number", "a name", "true or false"};
  return kKinds[option.index()];
}

}  // namespace

const LayerType& layer_type(const std::string& name) {
  std::string names;
  for (const LayerType& type : types()) {
    if (type.name == name) return type;
    names += (names.empty() ? "" : ", ") + type.name;
  }
  throw InputError("unknown layer type '" + name + "'; expected one of " + names);
}

std::vector<std::string> layer_type_names() {
  std::vector<std::string> names;
  for (const LayerType& type : types()) names.push_back(type.name);
  return names;
}

void add_layer_type(LayerType type) {
  for (const LayerType& known : types())
    if (known.name == type.name) throw InputError("there is a layer type '" + type.name + "' already");
  types().push_back(std::move(type));
}

LayerDescription with_defaults(const LayerDescription& layer) {
  const LayerType& type = layer_type(layer.type);
  if (type.container == layer.layers.empty())
    throw InputError(layer.type + (type.container ? ": expected layers inside it, found none"
                                                  : ": found layers inside it; it takes none"));
  LayerDescription full = layer;
  std::string names;
  for (const LayerOptionType& known : type.options) {
    names += (names.empty() ? "" : ", ") + known.name;
    const auto [given, added] = full.options.try_emplace(known.name, known.of);
    if (added && known.required) throw InputError(layer.type + ": option '" + known.name + "' is missing");
    if (given->second.index() != known.of.index())
      throw InputError(layer.type + ": option '" + known.name + "' is " + kind_of(given->second) +
                       "; expected " + kind_of(known.of));
  }
  const auto is_known = [&](const std::string& name) {
    return std::any_of(type.options.begin(), type.options.end(),
                       [&](const auto& o) { return o.name == name; });
  };
  for (const auto& [name, value] : layer.options)
    if (!is_known(name))
      throw InputError(layer.type + ": unknown option '" + name + "'; expected " +
                       (names.empty() ? "none" : names));
  return full;
}

}  // namespace basin
