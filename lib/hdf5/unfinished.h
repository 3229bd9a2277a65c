/// The unfinished files of this process, for whoever has to delete them when it is stopped.
#pragma once

#include <string>

namespace basin {

/// Notes an unfinished file, and strikes it off again. Of more than a few at a time the last are not noted.
void remember_unfinished(const std::string& path);
void forget_unfinished(const std::string& path);

/// Deletes the unfinished files of this process. Safe to call from a signal handler.
void remove_unfinished_files() noexcept;

}  // namespace basin
