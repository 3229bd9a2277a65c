#include "basin/linalg/memory.h"

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <limits>
#include <sstream>
#include <vector>

#include "basin/linalg/errors.h"

namespace basin {
namespace {

namespace fs = std::filesystem;

constexpr double kUnlimited = std::numeric_limits<double>::infinity();

std::string text_of(const fs::path& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

double process_limit(int resource) {
  rlimit limit{};
  const bool known = getrlimit(static_cast<__rlimit_resource_t>(resource), &limit) == 0;
  return known && limit.rlim_cur != RLIM_INFINITY ? static_cast<double>(limit.rlim_cur) : kUnlimited;
}

/// The number in a file; infinity without such a file, or where it says "max".
double number_in(const fs::path& path) {
  std::ifstream file(path);
  double number = 0;
  return file >> number ? number : kUnlimited;
}

bool contains(const std::string& list, const std::string& name) {
  return ("," + list + ",").find("," + name + ",") != std::string::npos;
}

/// Blanks and the like in the names of mount points are written as "\040".
std::string unescaped(const std::string& text) {
  std::string result;
  for (std::size_t i = 0; i < text.size(); ++i)
    if (text[i] == '\\' && i + 3 < text.size()) {
      result += static_cast<char>(std::stoi(text.substr(i + 1, 3), nullptr, 8));
      i += 3;
    } else {
      result += text[i];
    }
  return result;
}

/// Where the tree of groups that limits memory is mounted: `root` is the group that is seen at `point`.
struct Mount {
  bool version_2;
  std::string root;
  fs::path point;
};

std::vector<Mount> mounts_of(const std::string& mounts) {
  std::vector<Mount> found;
  std::istringstream lines(mounts);
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line);
    std::string word, root, point, type, source, options;
    for (int i = 0; i < 3; ++i) words >> word;
    words >> root >> point;
    while (words >> word && word != "-") {
    }
    words >> type >> source >> options;
    if (type == "cgroup2" || (type == "cgroup" && contains(options, "memory")))
      found.push_back({type == "cgroup2", unescaped(root), unescaped(point)});
  }
  return found;
}

/// The group of the process in the tree that is mounted there; empty if it has none.
std::string group_in(const Mount& mount, const std::string& groups) {
  std::istringstream lines(groups);
  for (std::string line; std::getline(lines, line);) {  // "4:memory:/batch/job_7", "0::/user.slice"
    const std::size_t first = line.find(':'), second = line.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    if (mount.version_2 ? line.starts_with("0::") : contains(controllers, "memory"))
      return line.substr(second + 1);
  }
  return "";
}

}  // namespace

double control_group_memory(const std::string& groups, const std::string& mounts) {
  double least = kUnlimited;
  for (const Mount& mount : mounts_of(mounts)) {
    const std::string group = group_in(mount, groups);
    if (group.empty()) continue;
    // A container may see its own group alone, or name its group from outside of what it sees.
    const fs::path below = fs::path(group).lexically_relative(mount.root);
    const bool seen = !below.empty() && *below.begin() != "..";
    const fs::path inner = seen ? (mount.point / below).lexically_normal() : mount.point;
    for (fs::path folder = inner;; folder = folder.parent_path()) {
      for (const char* name : {"memory.max", "memory.high", "memory.limit_in_bytes"})
        least = std::min(least, number_in(folder / name));
      if (folder == mount.point || folder == folder.parent_path()) break;
    }
  }
  return least;
}

double available_memory() {
  const double machine =
      static_cast<double>(sysconf(_SC_PHYS_PAGES)) * static_cast<double>(sysconf(_SC_PAGE_SIZE));
  return std::min({machine, process_limit(RLIMIT_AS), process_limit(RLIMIT_DATA),
                   control_group_memory(text_of("/proc/self/cgroup"), text_of("/proc/self/mountinfo"))});
}

void require_memory(const std::string& what, double bytes) {
  const double available = available_memory();
  if (!(bytes <= available))
    throw InputError(what + " would take " + bytes_text(bytes) + " of memory, and " + bytes_text(available) +
                     " are there");
}

std::string bytes_text(double bytes) {
  const char* units[] = {"bytes", "kB", "MB", "GB", "TB", "PB"};
  int unit = 0;
  for (; bytes >= 1000 && unit < 5; ++unit) bytes /= 1000;
  std::ostringstream out;
  out.precision(3);
  out << bytes << " " << units[unit];
  return out.str();
}

}  // namespace basin
