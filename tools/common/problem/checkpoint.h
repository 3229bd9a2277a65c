/// The kinds `checkpoint` and `export` of basin-problem.
#pragma once

namespace basin::tools {

/// A problem from a checkpoint and arrays of data.
void checkpoint_problem(int argc, const char* const* argv);

/// Weights of a problem, or a vector over them, as a checkpoint.
void export_checkpoint(int argc, const char* const* argv);

}  // namespace basin::tools
