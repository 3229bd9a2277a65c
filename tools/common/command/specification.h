/// What makes a piece of work what it is.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace basin::tools {

/// Named settings, in order: what a piece of work is, for comparing it with another.
using Specification = std::vector<std::pair<std::string, std::string>>;

/// The first difference of two specifications, for people: "repeats = 20 there, 30 here"; empty if none.
std::string first_difference(const Specification& there, const Specification& here);

/// As lines "NAME = VALUE", and back; lines without " = " are passed over.
std::string specification_text(const Specification& specification);
Specification parse_specification(const std::string& text);

/// A whole number in a specification. Throws InputError "NAME = x: expected a whole number".
std::uint64_t whole_number(const std::string& name, const std::string& text);

}  // namespace basin::tools
