/// A network as plain data: what a file can say of it, and all that is needed to build it.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "basin/network/layer.h"

namespace basin {

/// The value of an option: a size, a number, a name, or whether.
using LayerOption = std::variant<Index, double, std::string, bool>;

/// One layer: its type (network/layer_types.h) and that type's options. Options that are left out have their
/// defaults.
struct LayerDescription {
  std::string type;  ///< "attention"
  std::map<std::string, LayerOption> options = {};
  std::string name = {};                      ///< what its blocks are called by; empty: its type
  std::vector<LayerDescription> layers = {};  ///< inside it, where its type is a container

  bool operator==(const LayerDescription&) const = default;
};

/// The loss: its type (network/loss_options.h) and that type's options, as of layers.
struct LossDescription {
  std::string type = "squared";
  std::map<std::string, LayerOption> options = {};

  bool operator==(const LossDescription&) const = default;
};

/// What the blocks of each of these layers are prefixed by: a layer's name or type, a container's name.
std::vector<std::string> block_prefixes(const std::vector<LayerDescription>& layers);

/// Described layers one after another, as a layer: what a container is made of. Throws InputError as
/// `blocks`.
template <class S>
std::unique_ptr<const Layer<S>> chain(const std::vector<LayerDescription>& layers, Shape input);

/// Layers one after another under a loss, on inputs of n tokens of D numbers; or on n token ids, which have
/// no numbers (D = 0); or on images, whose rows of pixels, channel after channel, are the tokens.
struct Architecture {
  Shape input{};
  Index vocabulary = 0;   ///< of token ids: 0, ..., vocabulary - 1; else 0
  Index channels = 0;     ///< of images; else 0
  Index token_types = 0;  ///< beside ids: 0, ..., token_types - 1; else 0
  std::vector<LayerDescription> layers = {};
  LossDescription loss = {};

  bool operator==(const Architecture&) const = default;
};

/// The parameter blocks of a network, their names and shapes, in the order of its weights. A block is called
/// by the named containers that it is in, its layer (else the layer's type) and its own name,
/// "first.attention.W_Q"; in a network of one layer by its own name alone. Throws InputError for an unknown
/// type, loss or option, sizes that do not fit, or two layers of one name.
std::vector<ParameterBlock> blocks(const Architecture& architecture);

/// Calls visit(layer, its input, prefix) for each layer, a container before the layers inside it and those of
/// a `repeat` once a repetition: its blocks are called by the prefix and their own name. Throws InputError as
/// `blocks`.
void for_each_layer(
    const Architecture& architecture,
    const std::function<void(const LayerDescription&, Shape input, const std::string& prefix)>& visit);

/// The blocks of one layer by their own names. Throws InputError as `blocks`.
std::vector<ParameterBlock> own_blocks(const LayerDescription& layer, Shape input);

/// What comes out of it for a sample. Throws InputError as `blocks`.
Shape output_shape(const Architecture& architecture);

/// Whether a pool leaves one token a sample, so that rows of outputs are samples.
bool pools(const Architecture& architecture);

/// Its layers in a few words: "2 attention, linear".
std::string summary(const Architecture& architecture);

/// The layers as one. Throws InputError as `blocks`.
template <class S>
std::unique_ptr<const Layer<S>> make_network(const Architecture& architecture);

}  // namespace basin
