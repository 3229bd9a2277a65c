/// Words of a user, shown in messages, and what may have been meant.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "basin/linalg/types.h"

namespace basin {

/// In quotes, and not longer than a line takes.
std::string shown(const std::string& word);

/// "; did you mean 'heads'?" if that is near by, else "; expected one of " all that there is.
std::string meant(const std::string& word, const std::vector<std::string>& known);

/// So many of these, the nearest to the word first.
std::vector<std::string> nearest(const std::string& word, const std::vector<std::string>& known,
                                 std::size_t count);

/// Whether the text is what the pattern stands for, in which `*` is any text.
bool fits_pattern(std::string_view pattern, std::string_view text);

/// "(3, 4, 5)", and "(3,)" for one number.
std::string shape_text(const std::vector<Index>& shape);

}  // namespace basin
