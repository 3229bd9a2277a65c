/// What a network saved of the layers inside it: the way to activations that no rule hands out.
#pragma once

#include <functional>
#include <string>

#include "basin/network/architecture.h"

namespace basin {

/// One layer inside a network that `value` was called for.
struct SavedLayer {
  const LayerDescription& layer;  ///< as it was described: options that were left out are not there
  const std::string& prefix;      ///< of the names of its blocks, with a point at the end unless it is empty
  const Saved<double>& saved;     ///< `input` and `context` are those of the layer
};

/// Calls visit for each layer that is no container, in the order in which they are applied; inside
/// containers that are not the library's own (add_layer_type) for none. saved: what `value` of
/// make_network(architecture) left, with a context whose memory is unlimited, so that repetitions keep all.
void for_each_saved(const Architecture& architecture, const Saved<double>& saved,
                    const std::function<void(const SavedLayer&)>& visit);

/// The same from the last layer to the first, with which rows of its output can matter, whatever the weights,
/// to the rows `needed` of the network's (as Mask, but never empty).
void for_each_needed(const Architecture& architecture, const Saved<double>& saved, Index samples, Mask needed,
                     const std::function<void(const SavedLayer&, const Mask& needed)>& visit);

}  // namespace basin
