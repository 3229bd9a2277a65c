/// Files that appear whole or not at all.
#pragma once

#include <filesystem>
#include <string>

namespace basin {

/// A new file with a name of its own beside its final path, `.NAME.part-PID-RANDOM`, which commit() gives it
/// the path. Where the path is a symbolic link, the file it leads to is written, and the link stays.
class PartFile {
 public:
  /// Throws InputError when the folder is missing or not writable, the path is no regular file, or the file
  /// exists and may not be overwritten. A file that is overwritten hands on its permissions.
  PartFile(std::string path, bool overwrite);
  /// Deletes what was not committed.
  ~PartFile();
  PartFile(const PartFile&) = delete;
  PartFile& operator=(const PartFile&) = delete;

  const std::string& path() const { return path_; }  ///< the final one
  const std::string& part() const { return part_; }  ///< where to write until then

  /// Brings the file to the disk and gives it its path; it must be closed. Throws WorkError; when another
  /// program has made a file of this name in the meantime, this one is kept under the name that is said.
  void commit();

 private:
  std::string path_;
  std::filesystem::path target_;
  bool overwrite_;
  std::string part_;
};

/// Refuses what PartFile would refuse, before any work is done. Throws InputError.
void check_output(const std::string& path, bool overwrite);

/// Deletes the unfinished files of this path whose processes are gone.
void remove_unfinished(const std::string& path);

}  // namespace basin
