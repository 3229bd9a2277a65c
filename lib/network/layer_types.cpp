#include "basin/network/layer_types.h"

#include <algorithm>
#include <cmath>

#include "basin/linalg/errors.h"
#include "basin/linalg/words.h"
#include "basin/network/activation.h"
#include "basin/network/attention_layers.h"
#include "basin/network/branches.h"
#include "basin/network/class_token.h"
#include "basin/network/embedding.h"
#include "basin/network/linear.h"
#include "basin/network/mask_rows.h"
#include "basin/network/norm.h"
#include "basin/network/patches.h"
#include "basin/network/pool.h"
#include "basin/network/positions.h"
#include "basin/network/repeat.h"
#include "basin/network/residual.h"
#include "basin/network/sequential.h"
#include "basin/network/transposed_linear.h"

namespace basin {
namespace {

template <class S>
using Made = std::unique_ptr<const Layer<S>>;

Index at_least(const LayerDescription& layer, const std::string& name, Index least) {
  const auto found = option<Index>(layer, name);
  if (found < least)
    throw InputError(layer.type + ": " + name + " = " + std::to_string(found) + "; expected at least " +
                     std::to_string(least));
  return found;
}

LayerType linear() {
  return typed("linear", {{"outputs", Index{0}}, {"bias", true}, {"weight.tied", ""}},
               [](const LayerDescription& layer, Shape input, auto scalar) -> Made<decltype(scalar)> {
                 using S = decltype(scalar);
                 const bool bias = option<bool>(layer, "bias");
                 const auto& tied = option<std::string>(layer, "weight.tied");
                 const Index outputs = at_least(layer, "outputs", 1);
                 if (!tied.empty()) return std::make_unique<TransposedLinear<S>>(input, outputs, tied, bias);
                 return std::make_unique<Linear<S>>(input, outputs, "W", bias ? "b" : "");
               });
}

LayerType activation() {
  return typed("activation", {{"function", "", true}},
               [](const LayerDescription& layer, Shape input, auto scalar) -> Made<decltype(scalar)> {
                 return std::make_unique<Activation<decltype(scalar)>>(
                     input, activation_from_name(option<std::string>(layer, "function")));
               });
}

/// A norm with its usual epsilon; only a centred one may have a shift.
LayerType norm(const std::string& name, Centring centring, double epsilon) {
  std::vector<LayerOptionType> options = {{"epsilon", epsilon}, {"gain", true}};
  if (centring == Centring::mean) options.push_back({"bias", true});
  return typed(
      name, options,
      [centring](const LayerDescription& layer, Shape input, auto scalar) -> Made<decltype(scalar)> {
        using S = decltype(scalar);
        const auto eps = option<double>(layer, "epsilon");
        if (!(eps >= 0) || !std::isfinite(eps))
          throw InputError(layer.type + ": epsilon = " + std::to_string(eps) + "; expected a number from 0");
        return std::make_unique<Norm<S>>(input, centring, static_cast<S>(eps), option<bool>(layer, "gain"),
                                         centring == Centring::mean && option<bool>(layer, "bias"));
      });
}

LayerType embedding() {
  LayerType type =
      typed("embedding", {{"width", Index{}, true}, {"vocabulary", Index{}, true}, {"types", Index{0}}},
            [](const LayerDescription& layer, Shape input, auto scalar) -> Made<decltype(scalar)> {
              if (input.width != 0)
                throw InputError(
                    "embedding: its input is no token ids; expected it first, after inputs of type tokens");
              return std::make_unique<Embedding<decltype(scalar)>>(input, at_least(layer, "vocabulary", 1),
                                                                   at_least(layer, "width", 1),
                                                                   at_least(layer, "types", 0));
            });
  type.takes_ids = true;
  return type;
}

LayerType positions() {
  return typed("positions", {{"kind", "learned"}, {"rows", Index{0}}},
               [](const LayerDescription& layer, Shape input, auto scalar) -> Made<decltype(scalar)> {
                 using S = decltype(scalar);
                 const auto& kind = option<std::string>(layer, "kind");
                 const auto rows = option<Index>(layer, "rows");
                 if (kind == "learned")
                   return std::make_unique<Positions<S>>(input, rows == 0 ? input.tokens : rows);
                 if (kind != "sinusoidal")
                   throw InputError("positions: unknown kind '" + kind + "'; expected learned or sinusoidal");
                 if (rows != 0) throw InputError("positions: sinusoidal ones have no rows");
                 return std::make_unique<SinusoidalPositions<S>>(input);
               });
}

LayerType pool() {
  return typed("pool", {{"by", "mean"}, {"over", "real"}},
               [](const LayerDescription& layer, Shape input, auto scalar) -> Made<decltype(scalar)> {
                 const auto& over = option<std::string>(layer, "over");
                 if (over != "real" && over != "all")
                   throw InputError("pool: unknown over '" + over + "'; expected real or all");
                 return std::make_unique<Pool<decltype(scalar)>>(
                     input, pooling_from_name(option<std::string>(layer, "by")), over == "real");
               });
}

LayerType patches() {
  return typed("patches", {{"size", Index{}, true}, {"channels", Index{1}}},
               [](const LayerDescription& layer, Shape input, auto scalar) -> Made<decltype(scalar)> {
                 return std::make_unique<Patches<decltype(scalar)>>(input, option<Index>(layer, "channels"),
                                                                    option<Index>(layer, "size"));
               });
}

template <template <class> class L>
LayerType without_options(const std::string& name) {
  return typed(name, {}, [](const LayerDescription&, Shape input, auto scalar) -> Made<decltype(scalar)> {
    return std::make_unique<L<decltype(scalar)>>(input);
  });
}

LayerType chain_of_layers() {
  return typed(
      "chain", {},
      [](const LayerDescription& layer, Shape input, auto scalar) {
        return chain<decltype(scalar)>(layer.layers, input);
      },
      "layers");
}

LayerType residual() {
  return typed(
      "residual", {},
      [](const LayerDescription& layer, Shape input, auto scalar) -> Made<decltype(scalar)> {
        return std::make_unique<Residual<decltype(scalar)>>(chain<decltype(scalar)>(layer.layers, input));
      },
      "layers");
}

/// The same layers so many times, with weights of their own: name.0, name.1, ...
LayerType repeat() {
  return typed(
      "repeat", {{"times", Index{}, true}},
      [](const LayerDescription& layer, Shape input, auto scalar) -> Made<decltype(scalar)> {
        using S = decltype(scalar);
        typename Sequential<S>::Layers copies;
        std::vector<std::string> names;
        for (Index t = 0; t < at_least(layer, "times", 1); ++t) {
          copies.push_back(chain<S>(layer.layers, t == 0 ? input : copies.back()->output()));
          names.push_back(std::to_string(t));
        }
        if (copies.front()->output() != input)
          return std::make_unique<Sequential<S>>(std::move(copies), std::move(names));
        return std::make_unique<Repeat<S>>(std::move(copies), std::move(names));
      },
      "layers");
}

LayerType branches(const std::string& name, Joining joining) {
  return typed(
      name, {},
      [joining](const LayerDescription& layer, Shape input, auto scalar) -> Made<decltype(scalar)> {
        using S = decltype(scalar);
        typename LayerList<S>::Layers made;
        for (const LayerDescription& branch : layer.layers) made.push_back(make_layer<S>(branch, input));
        return std::make_unique<Branches<S>>(joining, std::move(made), block_prefixes(layer.layers));
      },
      "branches");
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
  static std::vector<LayerType> all = {attention(),
                                       linear(),
                                       activation(),
                                       norm("layer-norm", Centring::mean, 1e-5),
                                       norm("rms-norm", Centring::none, 1e-6),
                                       embedding(),
                                       positions(),
                                       patches(),
                                       without_options<ClassToken>("class-token"),
                                       without_options<MaskRows>("mask-rows"),
                                       without_options<Identity>("identity"),
                                       pool(),
                                       chain_of_layers(),
                                       residual(),
                                       repeat(),
                                       branches("sum", Joining::sum),
                                       branches("product", Joining::product)};
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
  if (type.container() == layer.layers.empty())
    throw InputError(layer.type + (type.container() ? ": expected layers inside it, found none"
                                                    : ": found layers inside it; it takes none"));
  LayerDescription full = layer;
  full.options = with_defaults(layer.options, type.options, layer.type);
  return full;
}

std::map<std::string, LayerOption> with_defaults(std::map<std::string, LayerOption> options,
                                                 const std::vector<LayerOptionType>& known,
                                                 const std::string& type) {
  std::vector<std::string> names;
  for (const LayerOptionType& of : known) {
    names.push_back(of.name);
    const auto [given, added] = options.try_emplace(of.name, of.of);
    if (added && of.required) throw InputError(type + ": option '" + of.name + "' is missing");
    if (given->second.index() != of.of.index())
      throw InputError(type + ": option '" + of.name + "' is " + kind_of(given->second) + "; expected " +
                       kind_of(of.of));
  }
  for (const auto& [name, value] : options)
    if (std::find(names.begin(), names.end(), name) == names.end())
      throw InputError(type + ": unknown option '" + name + "'" +
                       (names.empty() ? "; expected none" : meant(name, names)));
  return options;
}

}  // namespace basin
