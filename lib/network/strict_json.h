/// JSON from anyone.
#pragma once

#include <exception>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

namespace basin {

/// The text as JSON, members in their order. Throws InputError with one line ("no JSON: parse error at line
/// 1, column 9: ...") for a text of more than `most_bytes`, for what is no JSON in UTF-8, for numbers beyond
/// a double's (1e999), for more than 64 brackets inside each other, and for an object that has a member
/// twice. Nothing is built of what is nested too deep, so that no text exhausts the stack.
nlohmann::ordered_json strict_json(const std::string& text, std::size_t most_bytes);

/// What a JSON exception says, without the name of its class and at a length for one line: "parse error at
/// line 1, column 9: ...".
std::string json_problem(const std::exception& error);

/// Anyone's bytes, at most so many, for a message: UTF-8 on one line, with escapes ("\x1b") for control
/// characters, for marks that turn the text around and for what is not UTF-8. What is cut ends in "...".
std::string printable(std::string_view bytes, std::size_t most = 60);

}  // namespace basin
