/// The types of layers that an architecture may be made of: the one table that a new layer is entered in.
#pragma once

#include <functional>
#include <span>
#include <type_traits>

#include "basin/linalg/errors.h"
#include "basin/network/architecture.h"

namespace basin {

/// An option of a layer type; without a default it must be given. In descriptions, an option "a.b" is member
/// b of an object a.
struct LayerOptionType {
  std::string name;
  LayerOption of;  ///< any value of its kind; the default, unless it is required
  bool required = false;
};

/// How a described layer is made. The description that is handed over has all options, each of its kind.
struct LayerType {
  template <class S>
  using Make = std::function<std::unique_ptr<const Layer<S>>(const LayerDescription&, Shape input)>;

  std::string name;
  std::vector<LayerOptionType> options;
  Make<double> make;
  Make<float> make_float;
  /// It is made of layers: what its description calls them, "layers" one after another or "branches" side by
  /// side; empty: it is not.
  std::string inside = {};
  bool container() const { return !inside.empty(); }
  bool takes_ids = false;  ///< its input is token ids, which have no numbers; all others need some

  /// Which rows of its input the rows `needed` of its output can depend on, whatever the weights; real: the
  /// mask of the input.
  using Needs = std::function<Mask(const LayerDescription&, Shape input, std::span<const std::uint8_t> real,
                                   const Mask& needed)>;
  Needs needs = {};  ///< empty: all rows of a sample of which a row is needed
};

/// A type whose layers are make(description, input, scalar) for the scalars double{} and float{}.
template <class MakeLayer>
LayerType typed(std::string name, std::vector<LayerOptionType> options, MakeLayer make,
                std::string inside = {}) {
  return {std::move(name), std::move(options),
          [make](const LayerDescription& layer, Shape input) { return make(layer, input, double{}); },
          [make](const LayerDescription& layer, Shape input) { return make(layer, input, float{}); },
          std::move(inside)};
}

/// Throws InputError, listing the types there are.
const LayerType& layer_type(const std::string& name);

/// The names of all types.
std::vector<std::string> layer_type_names();

/// One type more, for layers that are not the library's own. Throws InputError for a name that is taken.
/// Not while other threads build networks.
void add_layer_type(LayerType type);

/// The description with every option written out. Throws InputError for an option that its type does not
/// have, that is of another kind, or that is missing, and for layers inside what is no container or none in
/// what is one.
LayerDescription with_defaults(const LayerDescription& layer);

/// The options of a type written out, for `with_defaults`. Throws InputError as that.
std::map<std::string, LayerOption> with_defaults(std::map<std::string, LayerOption> options,
                                                 const std::vector<LayerOptionType>& known,
                                                 const std::string& type);

/// The layer of a description. Throws InputError as with_defaults, and for sizes that do not fit.
template <class S>
std::unique_ptr<const Layer<S>> make_layer(const LayerDescription& layer, Shape input) {
  const LayerType& type = layer_type(layer.type);
  if (input.width == 0 && !type.takes_ids && !type.container())
    throw InputError(layer.type + ": its input is token ids; expected an embedding first");
  if constexpr (std::is_same_v<S, double>)
    return type.make(with_defaults(layer), input);
  else
    return type.make_float(with_defaults(layer), input);
}

/// An option of a description that has it: Index, double, std::string or bool.
template <class T>
const T& option(const LayerDescription& layer, const std::string& name) {
  return std::get<T>(layer.options.at(name));
}

}  // namespace basin
