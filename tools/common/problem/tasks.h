/// Tasks that networks are trained on: text as bytes, and Pathfinder.
#pragma once

#include "common/command/command.h"

namespace basin::tools {

/// The options of `basin-problem text --bytes` beside those of text.
void add_byte_options(Command& command);
/// Refuses those without --bytes.
void refuse_byte_options(const Command& command);
/// basin-problem text --bytes, once the options are parsed.
void write_byte_problem(Command& command);

/// The kind `pathfinder` of basin-problem.
void pathfinder_problem(int argc, const char* const* argv);

}  // namespace basin::tools
