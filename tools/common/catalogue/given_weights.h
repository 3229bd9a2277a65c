/// Weights from files, for basin-stationary --at and --from.
#pragma once

#include <string>
#include <vector>

#include "common/command/setup.h"

namespace basin::tools {

/// Weights that are given, and where they are from.
struct Given {
  Vector<double> weights;  ///< of all blocks
  std::string source;      ///< FILE or FILE:DATASET
  Index row;               ///< -1: there are none
};

/// All that an option names, FILE, FILE:DATASET or FILE:DATASET:ROW, row by row. starts: rows of the trained
/// blocks alone will do. Blocks that are held fixed must be where the problem has them. Throws InputError.
std::vector<Given> read_given(const Command& command, const std::string& option, const Setup& setup,
                              bool starts);

}  // namespace basin::tools
