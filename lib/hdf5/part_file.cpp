#include "basin/hdf5/part_file.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <random>

#include "basin/hdf5/file_calls.h"
#include "basin/hdf5/file_names.h"
#include "basin/hdf5/unfinished.h"
#include "basin/linalg/errors.h"

namespace basin {
namespace {

namespace fs = std::filesystem;

constexpr int kOtherNames = 1000;  // tried for a result whose name was taken

/// A new file of an unpredictable name; nothing that is there is opened, links neither.
std::string make_part(const std::string& path, const fs::path& target) {
  const std::string beginning =
      (folder_of(target) / (part_beginning(target) + std::to_string(getpid()) + "-")).string();
  std::random_device random;
  for (int attempt = 0;; ++attempt) {
    char number[9];
    std::snprintf(number, sizeof number, "%08x", random());
    std::string part = beginning + number;
    remember_unfinished(part);  // beforehand: a signal may come as soon as it is there
    const int descriptor = open(part.c_str(), O_CREAT | O_EXCL | O_NOFOLLOW | O_RDWR | O_CLOEXEC, 0666);
    if (descriptor < 0) {
      const int error = errno;
      forget_unfinished(part);
      if (error == EEXIST && attempt < 100) continue;
      throw InputError(path + ": cannot be written: " + std::strerror(error));
    }
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
  forget_unfinished(part_);
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
  forget_unfinished(part_);
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

}  // namespace basin
