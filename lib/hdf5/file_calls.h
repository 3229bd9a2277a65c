/// What is asked of the system about files, and done without where it does not have it.
#pragma once

#include <filesystem>
#include <string>

namespace basin {

/// Whether the errno of a call says that the system, or the file system, does not have it: EINVAL, ENOSYS,
/// EOPNOTSUPP, or, as some sandboxes have it, EPERM.
bool is_missing_call(int error);

/// Whether somebody holds it open: in another container a process has another number, but HDF5 locks its
/// files.
bool is_locked(const std::filesystem::path& file);

/// rename() that refuses to replace a file, as well as the system can. False: errno says why.
bool rename_to_new(const std::string& from, const std::filesystem::path& to);

/// To the disk, where that can be done. False: errno says why.
bool sync_to_disk(const std::string& file);

}  // namespace basin
