/// What is known of the global minimum before anything is searched.
#pragma once

#include <optional>
#include <string>

#include "basin/stationary/known_minimum.h"
#include "common/command/setup.h"

namespace basin::tools {

/// From what the problem file says in /minimum or /teacher, if f there is what is said, and by convexity.
std::optional<GlobalMinimum> global_minimum(const Setup& setup);

/// "global minimum f = 0 (the teacher reaches it)"
std::string text(const GlobalMinimum& minimum);

}  // namespace basin::tools
