/// Layers inside a network, found by what their blocks are called by.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "basin/network/architecture.h"

namespace basin {

/// One layer inside a network. Its path is what its blocks are called by: "blocks.1.attention" of
/// "blocks.1.attention.W_Q".
struct LayerPlace {
  LayerDescription layer;
  Shape input{};
};

/// Throws InputError for a path that no layer with blocks of its own has, naming those there are that
/// `suits`, by default all, and as `blocks`.
LayerPlace layer_at(const Architecture& architecture, const std::string& path,
                    const std::function<bool(const LayerDescription&)>& suits = {});

/// The same network with these layers, one after another, in the place of that one; all other blocks are
/// called as before, in the same order. Throws as layer_at.
Architecture with_layers_at(const Architecture& architecture, const std::string& path,
                            const std::vector<LayerDescription>& layers);

}  // namespace basin
