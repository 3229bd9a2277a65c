#include "basin/network/architecture_json.h"

#include <algorithm>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>

#include "basin/linalg/errors.h"
#include "basin/linalg/words.h"
#include "basin/network/layer_types.h"
#include "basin/network/loss_options.h"
#include "basin/network/strict_json.h"

namespace basin {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::size_t kShown = 60;  // characters of a value in a message

[[noreturn]] void refuse(const std::string& where, const std::string& what) {
  throw InputError("architecture: " + (where.empty() ? what : where + ": " + what));
}

/// A member that has to be there.
const Json& member(const Json& object, const std::string& where, const std::string& name) {
  const auto found = object.find(name);
  if (found == object.end()) refuse(where, "'" + name + "' is missing");
  return *found;
}

std::string path(const std::string& where, const std::string& name) {
  return where.empty() ? name : where + "." + name;
}

void check_members(const Json& object, const std::string& where, const std::vector<std::string>& known) {
  for (const auto& [key, value] : object.items())
    if (std::find(known.begin(), known.end(), key) == known.end())
      refuse(where, "unknown member " + shown(key) + meant(key, known));
}

const Json& object_at(const Json& value, const std::string& where) {
  if (!value.is_object()) refuse(where, std::string("found ") + value.type_name() + "; expected an object");
  return value;
}

std::string text_at(const Json& value, const std::string& where) {
  if (!value.is_string()) refuse(where, std::string("found ") + value.type_name() + "; expected a string");
  return value.get<std::string>();
}

Index size_at(const Json& value, const std::string& where) {
  constexpr std::int64_t kLargest = std::int64_t{1} << 40;
  if (!value.is_number_integer() || (value.is_number_unsigned() && value.get<std::uint64_t>() > kLargest) ||
      value.get<std::int64_t>() > kLargest || value.get<std::int64_t>() < -kLargest)
    refuse(where, "found " + value.dump().substr(0, kShown) + "; expected an integer of at most 2^40");
  return value.get<std::int64_t>();
}

/// A value for an option of this kind. A whole number is a number, too.
LayerOption option_at(const Json& value, const std::string& where, const LayerOption& kind) {
  if (std::holds_alternative<std::string>(kind)) return text_at(value, where);
  if (std::holds_alternative<Index>(kind)) return size_at(value, where);
  if (std::holds_alternative<bool>(kind)) {
    if (!value.is_boolean())
      refuse(where, std::string("found ") + value.type_name() + "; expected true or false");
    return value.get<bool>();
  }
  if (!value.is_number()) refuse(where, std::string("found ") + value.type_name() + "; expected a number");
  return value.get<double>();
}

std::vector<LayerDescription> layers_at(const Json& value, const std::string& where);
std::vector<LayerDescription> branches_at(const Json& value, const std::string& where);

LayerDescription layer_at(const Json& value, const std::string& where) {
  object_at(value, where);
  LayerDescription layer;
  layer.type = text_at(member(value, where, "type"), path(where, "type"));
  const std::vector<std::string> types = layer_type_names();
  if (std::find(types.begin(), types.end(), layer.type) == types.end())
    refuse(path(where, "type"), "unknown layer type " + shown(layer.type) + meant(layer.type, types));
  const std::string& inside = layer_type(layer.type).inside;
  const std::vector<LayerOptionType>& known = layer_type(layer.type).options;

  std::vector<std::string> names = {"type", "name"};
  if (!inside.empty()) names.push_back(inside);
  std::map<std::string, std::vector<std::string>> objects;  // and the names of their members
  for (const LayerOptionType& o : known) {
    const std::size_t dot = o.name.find('.');
    const std::string name = o.name.substr(0, dot);
    if (names.back() != name) names.push_back(name);
    if (dot != std::string::npos) objects[name].push_back(o.name.substr(dot + 1));
  }
  const auto set = [&](const std::string& key, const Json& given, const std::string& at) {
    const auto of = std::find_if(known.begin(), known.end(), [&](const auto& o) { return o.name == key; });
    if (of == known.end())
      refuse(at.substr(0, at.size() - std::min(at.size(), key.size() + 1)),
             layer.type + ": unknown member " + shown(key) + meant(key, names));
    if (!layer.options.emplace(key, option_at(given, at, of->of)).second) refuse(at, "stands twice");
  };
  for (const auto& [key, given] : value.items()) {
    const std::string at = path(where, key.substr(0, kShown));
    if (key == "type") continue;
    if (key == "name") {
      layer.name = text_at(given, at);
      if (layer.name.empty() || layer.name.find_first_of("./*") != std::string::npos)
        refuse(at, "found " + shown(layer.name) + "; expected a name without '.', '/' and '*'");
    } else if (!inside.empty() && key == inside) {
      layer.layers = inside == "branches" ? branches_at(given, at) : layers_at(given, at);
    } else if (const auto object = objects.find(key); object != objects.end()) {
      check_members(object_at(given, at), at, object->second);
      for (const auto& [inner, inner_value] : given.items())
        set(key + "." + inner, inner_value, path(at, inner));
    } else if (given.is_object()) {
      set(key, member(given, at, "type"), path(at, "type"));
      for (const auto& [inner, inner_value] : given.items())
        if (inner != "type") set(inner, inner_value, path(at, inner.substr(0, kShown)));
    } else {
      set(key, given, at);
    }
  }
  if (!inside.empty()) member(value, where, inside);
  return layer;
}

std::vector<LayerDescription> layers_at(const Json& value, const std::string& where) {
  if (!value.is_array() || value.empty())
    refuse(where, std::string("found ") + (value.is_array() ? "an empty list" : value.type_name()) +
                      "; expected a list of layers");
  std::vector<LayerDescription> layers;
  for (const Json& layer : value)
    layers.push_back(layer_at(layer, where + "[" + std::to_string(layers.size()) + "]"));
  return layers;
}

/// Each a layer, a list of layers one after another, or the word "identity".
std::vector<LayerDescription> branches_at(const Json& value, const std::string& where) {
  if (!value.is_array() || value.empty())
    refuse(where, std::string("found ") + (value.is_array() ? "an empty list" : value.type_name()) +
                      "; expected a list of branches");
  std::vector<LayerDescription> branches;
  for (const Json& branch : value) {
    const std::string at = where + "[" + std::to_string(branches.size()) + "]";
    if (branch.is_string() && branch.get<std::string>() == "identity")
      branches.push_back({"identity"});
    else if (branch.is_array())
      branches.push_back({"chain", {}, {}, layers_at(branch, at)});
    else
      branches.push_back(layer_at(branch, at));
  }
  return branches;
}

void read_inputs(const Json& inputs, Architecture& architecture) {
  const std::string type = text_at(member(inputs, "inputs", "type"), "inputs.type");
  const auto sizes = [&](const std::vector<std::pair<const char*, Index*>>& wanted) {
    std::vector<std::string> names = {"type"};
    for (const auto& [name, size] : wanted) names.emplace_back(name);
    check_members(inputs, "inputs", names);
    for (const auto& [name, size] : wanted) {
      *size = size_at(member(inputs, "inputs", name), path("inputs", name));
      if (*size < 1) refuse(path("inputs", name), "found " + std::to_string(*size) + "; expected at least 1");
    }
  };
  Shape& input = architecture.input;
  if (type == "vectors") return sizes({{"tokens", &input.tokens}, {"width", &input.width}});
  if (type == "tokens") {
    std::vector<std::pair<const char*, Index*>> wanted = {{"tokens", &input.tokens},
                                                          {"vocabulary", &architecture.vocabulary}};
    if (inputs.contains("token-types")) wanted.emplace_back("token-types", &architecture.token_types);
    sizes(wanted);
    if (architecture.vocabulary > std::numeric_limits<std::int32_t>::max())
      refuse("inputs.vocabulary",
             "found " + std::to_string(architecture.vocabulary) + "; expected at most 2^31 - 1");
    return;
  }
  if (type != "images")
    refuse("inputs.type", "unknown inputs " + shown(type) + meant(type, {"vectors", "tokens", "images"}));
  Index height = 0;
  sizes({{"channels", &architecture.channels}, {"height", &height}, {"width", &input.width}});
  if (static_cast<double>(architecture.channels) * static_cast<double>(height) > 0x1p40)
    refuse("inputs", "more than 2^40 rows of pixels");
  input.tokens = architecture.channels * height;
}

LossDescription loss_at(const Json& value) {
  LossDescription loss;
  loss.type = text_at(member(value, "loss", "type"), "loss.type");
  const std::vector<std::string> types = loss_names();
  if (std::find(types.begin(), types.end(), loss.type) == types.end())
    refuse("loss.type", "unknown loss " + shown(loss.type) + meant(loss.type, types));
  const std::vector<LayerOptionType>& known = loss_options(loss.type);
  std::vector<std::string> names = {"type"};
  for (const LayerOptionType& o : known) names.push_back(o.name);
  check_members(value, "loss", names);
  for (const LayerOptionType& o : known)
    if (const auto given = value.find(o.name); given != value.end())
      loss.options[o.name] = option_at(*given, path("loss", o.name), o.of);
  return with_defaults(loss);
}

/// Sizes by the full names of the embeddings that have them.
using Vocabularies = std::map<std::string, LayerOption>;

/// What follows from the inputs: the vocabulary of embeddings, the channels of patches.
void fill_in(std::vector<LayerDescription>& layers, const std::string& prefix, const Architecture& of,
             Vocabularies& rows) {
  const std::vector<std::string> names = block_prefixes(layers);
  for (std::size_t l = 0; l < layers.size(); ++l) {
    LayerDescription& layer = layers[l];
    const std::string name = prefix + names[l] + (names[l].empty() ? "" : ".");
    fill_in(layer.layers, name, of, rows);
    if (layer.type == "patches" && of.channels > 0) layer.options.try_emplace("channels", of.channels);
    if (layer.type != "embedding") continue;
    if (of.vocabulary > 0) layer.options.try_emplace("vocabulary", of.vocabulary);
    if (of.token_types > 0) layer.options.try_emplace("types", of.token_types);
    if (const auto own = layer.options.find("vocabulary"); own != layer.options.end())
      rows.emplace(name + "E", own->second);
  }
}

/// The outputs of linear layers that are tied to an embedding.
void fill_in_ties(std::vector<LayerDescription>& layers, const Vocabularies& rows) {
  for (LayerDescription& layer : layers) {
    fill_in_ties(layer.layers, rows);
    const auto tied = layer.options.find("weight.tied");
    if (tied == layer.options.end()) continue;
    if (const auto found = rows.find(std::get<std::string>(tied->second)); found != rows.end())
      layer.options.try_emplace("outputs", found->second);
  }
}

Json inputs_of(const Architecture& a) {
  if (a.vocabulary > 0) {
    Json inputs = {{"type", "tokens"}, {"tokens", a.input.tokens}, {"vocabulary", a.vocabulary}};
    if (a.token_types > 0) inputs["token-types"] = a.token_types;
    return inputs;
  }
  if (a.channels > 0)
    return {{"type", "images"},
            {"channels", a.channels},
            {"height", a.input.tokens / a.channels},
            {"width", a.input.width}};
  return {{"type", "vectors"}, {"tokens", a.input.tokens}, {"width", a.input.width}};
}

Json parsed(const std::string& text) {
  try {
    return strict_json(text, kMostDescriptionText);
  } catch (const InputError& error) {
    refuse("", error.what());
  }
}

Json to_json(const std::vector<LayerDescription>& layers) {
  Json list = Json::array();
  for (const LayerDescription& layer : layers) {
    const LayerDescription full = with_defaults(layer);
    Json one;
    one["type"] = full.type;
    if (!full.name.empty()) one["name"] = full.name;
    for (const LayerOptionType& of : layer_type(full.type).options)
      std::visit(
          [&](const auto& value) {
            const std::size_t dot = of.name.find('.');
            if (dot == std::string::npos)
              one[of.name] = value;
            else
              one[of.name.substr(0, dot)][of.name.substr(dot + 1)] = value;
          },
          full.options.at(of.name));
    if (!full.layers.empty()) one[layer_type(full.type).inside] = to_json(full.layers);
    list.push_back(std::move(one));
  }
  return list;
}

}  // namespace

Architecture architecture_from_json(const std::string& text, const VariableValues& variables) {
  Json json = parsed(text);
  object_at(json, "");
  substitute_variables(json, variables);
  check_members(json, "", {"inputs", "layers", "loss"});
  Architecture architecture;
  read_inputs(object_at(member(json, "", "inputs"), "inputs"), architecture);
  architecture.layers = layers_at(member(json, "", "layers"), "layers");
  Vocabularies rows;
  fill_in(architecture.layers, "", architecture, rows);
  fill_in_ties(architecture.layers, rows);
  if (const auto loss = json.find("loss"); loss != json.end()) {
    architecture.loss = loss_at(object_at(*loss, "loss"));
  }
  return architecture;
}

std::string to_json(const Architecture& a) {
  Json json;
  json["inputs"] = inputs_of(a);
  json["layers"] = to_json(a.layers);
  const LossDescription loss = with_defaults(a.loss);
  json["loss"] = {{"type", loss.type}};
  for (const LayerOptionType& of : loss_options(loss.type))
    std::visit([&](const auto& value) { json["loss"][of.name] = value; }, loss.options.at(of.name));
  return json.dump(2);
}

}  // namespace basin
