/// Weights from files: --at of every tool, --from of basin-stationary, and directions towards points.
#pragma once

#include <string>
#include <vector>

#include "common/command/setup.h"

namespace basin::tools {

/// Weights that are given, and where they are from.
struct Given {
  Vector<double> weights;    ///< of all blocks
  std::string source;        ///< FILE or FILE:DATASET
  Index row;                 ///< -1: there are none
  std::string kernels = {};  ///< kernels_text of the network that they are of, if that is known
};

/// Row by row the weights that `where` names: FILE (a problem, or tensors of the checkpoint; of a run all its
/// checkpoints), RUN:ROW, one of these from 0, FILE:DATASET, FILE:DATASET:ROW, or FILE:/GROUP of arrays by
/// name. what: what stands before it in messages,
/// "--at ". partial: rows of the trained blocks alone will do. Throws InputError.
std::vector<Given> read_rows(const std::string& what, const std::string& where, const Setup& setup,
                             bool partial);

/// All that an option names, likewise. Blocks that are held fixed must be where the problem has them. Throws
/// InputError.
std::vector<Given> read_given(const Command& command, const std::string& option, const Setup& setup,
                              bool partial);

/// The last of them: of a run where it ended.
Given read_point(const std::string& what, const std::string& where, const Setup& setup);

/// Adds --at FILE[:DATASET[:ROW]], of tools that look at one point.
void add_at_option(Command& command);

/// As read_setup, at the weights that --at names, where it is given. Throws InputError.
Setup read_setup_at(Command& command);

}  // namespace basin::tools
