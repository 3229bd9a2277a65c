/// Command lines as they are typed.
#pragma once

#include <string>
#include <vector>

namespace basin::tools {

/// The command line as one could type it again, in UTF-8.
std::string quoted(int argc, const char* const* argv);

/// Pasted from a typeset text, an option may begin with another dash: throws InputError.
void refuse_dashes(const std::vector<std::string>& words);

}  // namespace basin::tools
