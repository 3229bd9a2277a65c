/// Architectures as JSON: what a problem file says of its network.
#pragma once

#include <string>

#include "basin/network/architecture.h"
#include "basin/network/architecture_variables.h"

namespace basin {

/// Most bytes of a description; a network of a thousand layers takes a tenth.
inline constexpr std::size_t kMostDescriptionText = std::size_t{1} << 20U;

/// Reads
///
///     {"inputs": {"type": "vectors", "tokens": 8, "width": 16},
///      "layers": [{"type": "attention", "name": "first", "heads": 2, "head-dim": 4, "outputs": 16,
///                  "kernel": {"type": "gaussian", "bandwidth": 1.5}},
///                 {"type": "linear", "outputs": 2}],
///      "loss": {"type": "squared"}}
///
/// The loss may be left out, for the squared one. A layer has its type, an optional name, the layers inside
/// it where it is a container, and the options of its type (network/layer_types.h); an option with options of
/// its own is an object whose `type` is its value, and some options are objects themselves (rotary). Throws
/// InputError, naming the place (layers[1].outputs) and, for a word that is not known, the nearest one that
/// is: for what is no JSON, a key that stands twice or is unknown, a value of another kind, and more layers
/// or deeper nesting than any network has. Nothing is built. A member `variables` declares variables, which
/// have these values (substitute_variables).
Architecture architecture_from_json(const std::string& text, const VariableValues& variables = {});

/// The canonical text, with every default written out and numbers to their last digit: of two descriptions of
/// the same network the same.
std::string to_json(const Architecture& architecture);

}  // namespace basin
