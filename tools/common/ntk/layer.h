/// basin-ntk --layer: one layer inside a network.
#pragma once

#include <string>

#include "common/ntk/kernels.h"

namespace basin::tools {

/// Says and writes the kernels of one layer's maps, on the outputs of the network and on its own. Returns the
/// group to look at first.
std::string layer_kernels(Command& command, hdf5::Writer& file, const Setup& setup);

}  // namespace basin::tools
