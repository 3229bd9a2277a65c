#include "common/command/words.h"

#include <charconv>
#include <cmath>

namespace basin::tools {
namespace {

template <class T>
std::optional<T> parse(const std::string& text) {
  const bool plus = text.size() > 1 && text[0] == '+' && text[1] != '-';
  const char* const end = text.data() + text.size();
  T value{};
  const auto [rest, error] = std::from_chars(text.data() + (plus ? 1 : 0), end, value);
  if (error != std::errc() || rest != end) return std::nullopt;
  return value;
}

}  // namespace

std::optional<double> parse_number(const std::string& text) {
  const std::optional<double> value = parse<double>(text);
  return value && std::isfinite(*value) ? value : std::nullopt;
}

std::optional<Index> parse_index(const std::string& text) {
  return parse<Index>(text);
}

std::vector<std::string> split(const std::string& text, char separator) {
  std::vector<std::string> parts;
  std::size_t start = 0;
  for (std::size_t at; (at = text.find(separator, start)) != std::string::npos; start = at + 1)
    parts.push_back(text.substr(start, at - start));
  parts.push_back(text.substr(start));
  return parts;
}

}  // namespace basin::tools
