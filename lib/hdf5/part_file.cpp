#include "hdf5/part_file.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>

#include "linalg/errors.h"
#include "linalg/random.h"

namespace basin {
namespace {

namespace fs = std::filesystem;

constexpr const char* kPart = ".part-";
constexpr int kMostLinks = 40;     // as Linux
constexpr int kOtherNames = 1000;  // tried for a result whose name was taken

// Names of unfinished files, readable from a signal handler: fixed memory, one flag each.
struct Unfinished {
  std::atomic<bool> used = false;
  std::array<char, 4096> path = {};
};
std::array<Unfinished, 8> unfinished;

void remember(const std::string& path) {
  for (Unfinished& slot : unfinished)
    if (!slot.used && path.size() < slot.path.size()) {
      std::memcpy(slot.path.data(), path.c_str(), path.size() + 1);
      slot.used = true;
      return;
    }
}

void forget(const std::string& path) {
  for (Unfinished& slot : unfinished)
    if (slot.used && path == slot.path.data()) slot.used = false;
}

fs::path folder_of(const fs::path& file) {
  return file.has_parent_path() ? file.parent_path() : fs::path(".");
}

/// Where symbolic links lead, also to a file that is not there yet.
fs::path follow_links(const std::string& path) {
  fs::path target(path);
  std::error_code error;
  for (int links = 0; fs::is_symlink(fs::symlink_status(target, error)); ++links) {
    if (links == kMostLinks) throw InputError(path + ": symbolic links that lead round in a circle");
    const fs::path next = fs::read_symlink(target, error);
    if (error) break;
    target = (next.is_absolute() ? next : folder_of(target) / next).lexically_normal();
  }
  return target;
}

/// The beginning of a name that leaves room for so many bytes more, whole characters of UTF-8; one that is
/// cut ends in its checksum.
std::string fitting(const fs::path& file, std::size_t room) {
  std::string name = file.filename().string();
  const long most = pathconf(folder_of(file).c_str(), _PC_NAME_MAX);
  const std::size_t longest = most > 0 ? static_cast<std::size_t>(most) : 255;
  if (name.size() + room <= longest) return name;
  const std::string checksum = "~" + hexadecimal(fnv1a(name));
  std::size_t length = longest - std::min(longest, room + checksum.size());
  while (length > 0 && (static_cast<unsigned char>(name[length]) & 0xC0U) == 0x80U) --length;
  return name.substr(0, length) + checksum;
}

/// What the names of all unfinished files of this file begin with.
std::string part_beginning(const fs::path& target) {
  constexpr std::size_t kRoom = 48;  // more than the dot, ".part-", a process and the random number take
  return "." + fitting(target, kRoom) + kPart;
}

/// The process that makes an unfinished file; 0 for a name that is none.
pid_t process_of(const std::string& name, const std::string& beginning) {
  if (name.rfind(beginning, 0) != 0) return 0;
  const std::string rest = name.substr(beginning.size()), process = rest.substr(0, rest.find('-'));
  const bool number =
      !process.empty() && process.size() < 10 && process.find_first_not_of("0123456789") == std::string::npos;
  return number ? static_cast<pid_t>(std::atol(process.c_str())) : 0;
}

/// Whether somebody holds it open: in another container a process has another number, but HDF5 locks its
/// files.
bool is_locked(const fs::path& file) {
  const int descriptor = open(file.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
  if (descriptor < 0) return false;
  const bool locked = flock(descriptor, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK;
  close(descriptor);
  return locked;
}

/// A new file of an unpredictable name; nothing that is there is opened, links neither.
std::string make_part(const std::string& path, const fs::path& target) {
  const std::string beginning =
      (folder_of(target) / (part_beginning(target) + std::to_string(getpid()) + "-")).string();
  std::random_device random;
  for (int attempt = 0;; ++attempt) {
    char number[9];
    std::snprintf(number, sizeof number, "%08x", random());
    std::string part = beginning + number;
    const int descriptor = open(part.c_str(), O_CREAT | O_EXCL | O_NOFOLLOW | O_RDWR | O_CLOEXEC, 0666);
    if (descriptor < 0 && errno == EEXIST && attempt < 100) continue;
    if (descriptor < 0) throw InputError(path + ": cannot be written: " + std::strerror(errno));
    remember(part);
    struct stat there {};
    if (stat(target.c_str(), &there) == 0) {
      // Both may be refused: to others than root, and on file systems that have no permissions.
      [[maybe_unused]] const bool owned = fchown(descriptor, there.st_uid, there.st_gid) == 0;
      [[maybe_unused]] const bool permitted = fchmod(descriptor, there.st_mode & 07777U) == 0;
    }
    close(descriptor);
    return part;
  }
}

/// rename() that refuses to replace a file, as well as the system can.
bool rename_to_new(const std::string& from, const fs::path& to) {
  if (renameat2(AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(), RENAME_NOREPLACE) == 0) return true;
  if (!is_missing_call(errno)) return false;
  if (link(from.c_str(), to.c_str()) == 0) return unlink(from.c_str()) == 0;
  if (errno == EEXIST) return false;
  struct stat there {};
  if (lstat(to.c_str(), &there) == 0) {
    errno = EEXIST;
    return false;
  }
  return std::rename(from.c_str(), to.c_str()) == 0;
}

/// To the disk, where that can be done.
bool sync_to_disk(const std::string& file) {
  const int descriptor = open(file.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) return false;
  const bool synced = fsync(descriptor) == 0 || is_missing_call(errno) || errno == EROFS;
  const int reason = errno;
  close(descriptor);
  errno = reason;
  return synced;
}

}  // namespace

PartFile::PartFile(std::string path, bool overwrite) : path_(std::move(path)), overwrite_(overwrite) {
  std::error_code error;
  if (fs::path(path_).filename().empty()) throw InputError("'" + path_ + "': not a file name");
  target_ = follow_links(path_);
  const fs::path folder = folder_of(target_);
  const fs::file_status there = fs::status(path_, error);
  if (error == std::errc::filename_too_long) throw InputError(path_ + ": " + error.message());
  if (!fs::is_directory(folder, error)) throw InputError(path_ + ": there is no folder " + folder.string());
  if (fs::is_directory(there)) throw InputError(path_ + ": a folder; expected a file name");
  if (fs::exists(there) && !fs::is_regular_file(there))
    throw InputError(path_ + ": not a regular file; expected a file name");
  if (fs::exists(there) && !overwrite_)
    throw InputError(path_ + ": exists already; give another name or --overwrite");
  part_ = make_part(path_, target_);
}

PartFile::~PartFile() {
  if (part_.empty()) return;
  std::remove(part_.c_str());
  forget(part_);
}

void PartFile::commit() {
  if (!sync_to_disk(part_)) throw WorkError(path_ + ": cannot be written: " + std::strerror(errno));
  bool named = overwrite_ ? std::rename(part_.c_str(), target_.c_str()) == 0 : rename_to_new(part_, target_);
  std::string kept;
  if (!named && errno == EEXIST)
    for (int k = 2; k < kOtherNames && kept.empty(); ++k) {
      const std::string other = companion(target_.string(), "." + std::to_string(k));
      if (rename_to_new(part_, other)) kept = other;
      if (kept.empty() && errno != EEXIST) break;
    }
  if (!named && kept.empty()) throw WorkError(path_ + ": cannot be given its name: " + std::strerror(errno));
  sync_to_disk(folder_of(target_).string());  // its entry in the folder; what fails here has been written
  forget(part_);
  part_.clear();
  if (!named)
    throw WorkError(path_ + ": another program has made it in the meantime; this result is in " + kept);
}

void check_output(const std::string& path, bool overwrite) {
  const PartFile refusal(path, overwrite);
}

void remove_unfinished(const std::string& path) {
  const fs::path target = follow_links(path);
  const std::string beginning = part_beginning(target);
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(folder_of(target), ignored)) {
    const pid_t process = process_of(entry.path().filename().string(), beginning);
    if (process > 0 && kill(process, 0) != 0 && errno == ESRCH && !is_locked(entry.path()))
      fs::remove(entry.path(), ignored);
  }
}

std::string companion(const std::string& path, const std::string& suffix) {
  const fs::path file(path);
  const std::string name = fitting(file, suffix.size()) + suffix;
  return file.has_parent_path() ? (file.parent_path() / name).string() : name;
}

bool is_missing_call(int error) {
  return error == EINVAL || error == ENOSYS || error == EOPNOTSUPP || error == EPERM;
}

void remove_unfinished_files() noexcept {
  for (Unfinished& slot : unfinished)
    if (slot.used) unlink(slot.path.data());
}

}  // namespace basin
