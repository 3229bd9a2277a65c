/// The words that options are made of.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "basin/linalg/types.h"

namespace basin::tools {

/// The finite number that is the whole text, "-1", "+2" or "1e-3"; nothing for anything else.
std::optional<double> parse_number(const std::string& text);
/// The same for whole numbers.
std::optional<Index> parse_index(const std::string& text);

/// The parts between separators, the empty ones, too: "a,,b" has three, "" one.
std::vector<std::string> split(const std::string& text, char separator);

}  // namespace basin::tools
