/// basin-ntk on networks that are not one attention layer, of which no formula is known.
#pragma once

#include <string>
#include <vector>

#include "common/ntk/kernels.h"

namespace basin::tools {

/// The options of these networks alone: --rows, --layer.
void add_network_options(Command& command);

/// Says and writes what basin-ntk knows of such a network. Returns the group to look at first.
std::string network_kernels(Command& command, hdf5::Writer& file, const Setup& setup,
                            const std::vector<KernelSet>& sets);

}  // namespace basin::tools
