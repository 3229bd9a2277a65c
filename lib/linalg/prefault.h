/// New memory without a page fault for each of its pages.
#pragma once

#include <cstddef>

#ifdef __linux__
#include <sys/mman.h>
#include <unistd.h>
#endif

namespace basin {

/// Asks the system to provide the pages of a large array at once, rather than one by one as they are first
/// written to, which costs several times as much. Does nothing for small arrays, or where it is not offered
/// (Linux has it since 5.14).
inline void prefault(void* data, std::size_t bytes) {
#ifdef MADV_POPULATE_WRITE
  if (bytes < (std::size_t{1} << 17U)) return;
  static const std::size_t page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  const auto first = (reinterpret_cast<std::size_t>(data) + page - 1) / page * page;
  const auto last = (reinterpret_cast<std::size_t>(data) + bytes) / page * page;
  if (last > first) madvise(reinterpret_cast<void*>(first), last - first, MADV_POPULATE_WRITE);
#else
  (void)data, (void)bytes;
#endif
}

}  // namespace basin
