/// Progress reports: algorithms count, tools show.
#pragma once

#include <functional>

#include "basin/linalg/types.h"

namespace basin {

/// Called by one thread at a time with the units of work done and the total, 0 < done <= total.
using Progress = std::function<void(Index done, Index total)>;

inline void report(const Progress& progress, Index done, Index total) {
  if (progress) progress(done, total);
}

}  // namespace basin
