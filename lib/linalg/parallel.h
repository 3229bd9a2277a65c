/// Parallel loops whose results do not depend on the number of threads.
#pragma once

#include <omp.h>

#include <atomic>
#include <exception>

#include "basin/linalg/progress.h"
#include "basin/linalg/types.h"

namespace basin {

/// Number of threads a parallel loop may use; `slot` below is smaller than this.
inline Index thread_slots() {
  return omp_get_max_threads();
}

/// The first exception of several threads, kept until it can be thrown again.
class FirstError {
 public:
  template <class F>
  void guard(const F& f) {
    if (failed_) return;
    try {
      f();
    } catch (...) {
#pragma omp critical(basin_first_error)
      if (!failed_) {
        error_ = std::current_exception();
        failed_ = true;
      }
    }
  }
  void rethrow() const {
    if (failed_) std::rethrow_exception(error_);
  }

 private:
  std::exception_ptr error_;
  std::atomic<bool> failed_ = false;
};

/// Runs work(item, slot) for every item in [0, count) on the OpenMP threads, for work that writes to places
/// of its own. An exception stops the remaining items and is thrown again here. `progress` counts items.
template <class Work>
void parallel_for(Index count, const Work& work, const Progress& progress = {}) {
  FirstError error;
  Index done = 0;
#pragma omp parallel for schedule(dynamic, 1) if (count > 1)
  for (Index item = 0; item < count; ++item) {
    error.guard([&] { work(item, Index{omp_get_thread_num()}); });
#pragma omp critical(basin_progress)
    error.guard([&] { report(progress, ++done, count); });
  }
  error.rethrow();
}

}  // namespace basin
