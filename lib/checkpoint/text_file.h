/// Small files of text that may be anyone's.
#pragma once

#include <cstddef>
#include <string>

namespace basin {

/// The bytes of a regular file of at most so many: of a pipe nothing is waited for. Throws InputError, naming
/// it.
std::string text_of_file(const std::string& path, std::size_t most_bytes);

}  // namespace basin
