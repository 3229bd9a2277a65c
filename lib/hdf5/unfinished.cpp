#include "basin/hdf5/unfinished.h"

#include <unistd.h>

#include <array>
#include <atomic>
#include <cstring>

namespace basin {
namespace {

// Names of unfinished files, readable from a signal handler: fixed memory, one flag each.
struct Unfinished {
  std::atomic<bool> used = false;
  std::array<char, 4096> path = {};
};
std::array<Unfinished, 8> unfinished;

}  // namespace

void remember_unfinished(const std::string& path) {
  for (Unfinished& slot : unfinished)
    if (!slot.used && path.size() < slot.path.size()) {
      std::memcpy(slot.path.data(), path.c_str(), path.size() + 1);
      slot.used = true;
      return;
    }
}

void forget_unfinished(const std::string& path) {
  for (Unfinished& slot : unfinished)
    if (slot.used && path == slot.path.data()) slot.used = false;
}

void remove_unfinished_files() noexcept {
  for (Unfinished& slot : unfinished)
    if (slot.used) unlink(slot.path.data());
}

}  // namespace basin
