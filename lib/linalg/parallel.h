/// Parallel loops whose results do not depend on the number of threads.
#pragma once

#include <omp.h>

#include <exception>

#include "linalg/types.h"

namespace basin {

/// Number of threads a parallel loop may use; `slot` below is smaller than this.
inline Index thread_slots() { return omp_get_max_threads(); }

/// Runs work(item, slot) for every item in [0, count) on the OpenMP threads, and commit(item, slot) strictly
/// in the order of the items, one at a time: sums taken in commit have the same bits for any number of
/// threads. An exception stops the remaining items and is thrown again here.
template <class Work, class Commit>
void ordered_parallel_for(Index count, const Work& work, const Commit& commit) {
  std::exception_ptr error;
#pragma omp parallel for ordered schedule(dynamic, 1) if (count > 1)
  for (Index item = 0; item < count; ++item) {
    const Index slot = omp_get_thread_num();
    std::exception_ptr mine;
    try {
      work(item, slot);
    } catch (...) {
      mine = std::current_exception();
    }
#pragma omp ordered
    {
      if (!error && !mine) {
        try {
          commit(item, slot);
        } catch (...) {
          mine = std::current_exception();
        }
      }
      if (!error) error = mine;
    }
  }
  if (error) std::rethrow_exception(error);
}

/// Runs work(item, slot) for every item; for work that writes to places of its own only.
template <class Work>
void parallel_for(Index count, const Work& work) {
  ordered_parallel_for(count, work, [](Index, Index) {});
}

}  // namespace basin
