#include "common/command/progress.h"

#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <memory>

namespace basin::tools {

double clock_seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

Progress progress_line(const std::string& what) {
  const bool terminal = isatty(STDERR_FILENO) != 0;
  const double interval = terminal ? 0.2 : 10;
  return [what, terminal, interval, start = clock_seconds(), last = clock_seconds()](Index done,
                                                                                     Index total) mutable {
    const double time = clock_seconds(), elapsed = time - start;
    const bool finished = done == total;
    if (elapsed < 1 || (time - last < interval && !finished)) return;
    last = time;
    const double left = elapsed / static_cast<double>(done) * static_cast<double>(total - done);
    std::fprintf(stderr, "%s%s: %ld of %ld, %.0f s, at most %.0f s left%s", terminal ? "\r" : "",
                 what.c_str(), static_cast<long>(done), static_cast<long>(total), elapsed, left,
                 terminal && !finished ? "   " : "\n");
    std::fflush(stderr);
  };
}

std::function<void(const std::string&)> status_line() {
  constexpr double kInterval = 10;
  return
      [last = std::make_shared<double>(clock_seconds()), start = clock_seconds()](const std::string& stage) {
#pragma omp critical(basin_progress)
        if (const double time = clock_seconds(); time - *last >= kInterval) {
          *last = time;
          std::fprintf(stderr, "%s, %.0f s\n", stage.c_str(), time - start);
          std::fflush(stderr);
        }
      };
}

}  // namespace basin::tools
