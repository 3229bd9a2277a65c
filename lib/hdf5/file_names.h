/// Names of files that stand beside an output: its unfinished versions, its companions.
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <string>

namespace basin {

/// The folder a file is in; "." where the path names none.
std::filesystem::path folder_of(const std::filesystem::path& file);

/// Where symbolic links lead, also to a file that is not there yet. Throws InputError when they lead round in
/// a circle.
std::filesystem::path follow_links(const std::string& path);

/// The path of a file that belongs to another one, such as its journal: PATH.journal, shortened where names
/// may not be that long.
std::string companion(const std::string& path, const std::string& suffix);

/// What the names of all unfinished files of this file begin with.
std::string part_beginning(const std::filesystem::path& target);

/// The process that makes an unfinished file; 0 for a name that is none.
pid_t process_of(const std::string& name, const std::string& beginning);

}  // namespace basin
