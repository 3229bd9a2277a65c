/// Kernels of networks that are not one attention layer, of which no formula is known.
#pragma once

#include <string>
#include <vector>

#include "common/command/setup.h"

namespace basin::tools {

/// Blocks whose kernel is asked for, the last time all trained ones ("sum").
struct KernelSet {
  std::string name;  ///< a block, or the pattern that it was asked for by
  std::vector<std::string> blocks;
};

/// The options of these networks alone: --rows.
void add_network_options(Command& command);

/// Says and writes what basin-ntk knows of such a network. Returns the group to look at first.
std::string network_kernels(Command& command, hdf5::Writer& file, const Setup& setup,
                            const std::vector<KernelSet>& sets);

}  // namespace basin::tools
