/// Progress on stderr.
#pragma once

#include <functional>
#include <string>

#include "basin/linalg/progress.h"

namespace basin::tools {

/// Seconds of a clock that never goes back.
double clock_seconds();

/// Progress of one kind of work, with an estimate of the time left. Silent for short work, and sparse where
/// stderr is not a terminal.
Progress progress_line(const std::string& what);

/// What long work is at, a line every ten seconds; may be called by several threads.
std::function<void(const std::string&)> status_line();

}  // namespace basin::tools
