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

LayerType with_needs(LayerType::Needs needs, LayerType type) {
  type.needs = std::move(needs);
  return type;
}

/// Rows of y are functions of the same rows of x.
LayerType by_rows(LayerType type) {
  return with_needs([](const LayerDescription&, Shape, std::span<const std::uint8_t>,
                       const Mask& needed) { return needed; },
                    std::move(type));
}

/// A row sees itself, and the real ones of its sample, causal attention those before it.
Mask attention_needs(const LayerDescription& layer, Shape input, std::span<const std::uint8_t> real,
                     const Mask& needed) {
  const auto n = static_cast<std::size_t>(input.tokens);
  const bool causal = option<bool>(layer, "causal");
  Mask rows = needed;
  for (std::size_t first = 0; first < rows.size(); first += n) {
    std::size_t seen = 0;  // so many tokens
    for (std::size_t t = 0; t < n; ++t)
      if (needed[first + t] != 0) seen = causal ? t + 1 : n;
    for (std::size_t t = 0; t < seen; ++t)
      if (real.empty() || real[first + t] != 0) rows[first + t] = 1;
  }
  return rows;
}

/// Of maps without weights and a token more: what the adjoint of ones is.
Mask adjoint_needs(const LayerDescription& layer, Shape input, std::span<const std::uint8_t> real,
                   const Mask& needed) {
  const auto made = make_layer<double>(layer, input);
  const Index rows = static_cast<Index>(needed.size()) / made->output().tokens * input.tokens;
  const Vector<double> x = Vector<double>::Zero(rows * input.width);
  Saved<double> value, adjoint;
  value.context.mask = real;
  value.input = {x.data(), 1, rows, input.width};
  Batch<double> ones, back;
  ones.resize_zero(1, static_cast<Index>(needed.size()), made->output().width);
  for (std::size_t row = 0; row < needed.size(); ++row)
    if (needed[row] != 0) ones[0].row(static_cast<Index>(row)).setOnes();
  const std::vector<BlockSlot> none(made->blocks().size(), BlockSlot{-1, 0, 0});
  made->adjoint({nullptr, 1, 0, none}, value, ones.view(), adjoint, {nullptr, 1, 0, none}, &back);
  Mask of(static_cast<std::size_t>(rows));
  for (Index row = 0; row < rows; ++row)
    of[static_cast<std::size_t>(row)] = (back[0].row(row).array() != 0).any() ? 1 : 0;
  return of;
}

std::vector<LayerType>& types() {
  static std::vector<LayerType> all = {with_needs(attention_needs, attention()),
                                       by_rows(linear()),
                                       by_rows(activation()),
                                       by_rows(norm("layer-norm", Centring::mean, 1e-5)),
                                       by_rows(norm("rms-norm", Centring::none, 1e-6)),
                                       by_rows(embedding()),
                                       by_rows(positions()),
                                       with_needs(adjoint_needs, patches()),
                                       with_needs(adjoint_needs, without_options<ClassToken>("class-token")),
                                       with_needs(adjoint_needs, without_options<MaskRows>("mask-rows")),
                                       by_rows(without_options<Identity>("identity")),
                                       with_needs(adjoint_needs, pool()),
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
