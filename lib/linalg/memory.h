/// How much memory there is to take.
#pragma once

#include <string>

namespace basin {

/// Bytes of memory that this process can have in all: the least of what the machine has, of the limits that
/// the process runs under (ulimit -v, ulimit -d), and of those of its control groups and the groups around
/// them (version 1 and 2: batch systems, containers), where the kernel kills what takes more. These are
/// limits, not what is free at the moment, so that the answer is the same each time.
double available_memory();

/// Throws InputError "WHAT would take 3 TB of memory, and 16 GB are there" for more than available_memory().
/// Sizes are counted in double precision, where products do not overflow.
void require_memory(const std::string& what, double bytes);

/// The least limit, in bytes, of the control groups of a process and of those around them; infinity if there
/// is none. groups: the text of /proc/self/cgroup. mounts: that of /proc/self/mountinfo.
double control_group_memory(const std::string& groups, const std::string& mounts);

/// 1.5e9 -> "1.5 GB"
std::string bytes_text(double bytes);

}  // namespace basin
