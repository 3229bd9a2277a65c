#include "common/command/specification.h"

#include <charconv>
#include <sstream>

#include "basin/linalg/errors.h"
#include "basin/problem/encoding.h"

namespace basin::tools {

std::string first_difference(const Specification& there, const Specification& here) {
  const auto find = [](const Specification& in, const std::string& name) {
    for (const auto& [key, value] : in)
      if (key == name) return value.empty() ? std::string("nothing") : value;
    return std::string("nothing");
  };
  for (const Specification* names : {&here, &there})
    for (const auto& [name, value] : *names) {
      const std::string a = find(there, name), b = find(here, name);
      if (a != b)
        return shortened(name) + " = " + shortened(a, 100) + " there, " + shortened(b, 100) + " here";
    }
  return "";
}

std::string specification_text(const Specification& specification) {
  std::string text;
  for (const auto& [name, value] : specification) text += (text.empty() ? "" : "\n") + name + " = " + value;
  return text;
}

Specification parse_specification(const std::string& text) {
  Specification specification;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    const std::size_t equals = line.find(" = ");
    if (equals != std::string::npos)
      specification.emplace_back(line.substr(0, equals), line.substr(equals + 3));
  }
  return specification;
}

std::uint64_t whole_number(const std::string& name, const std::string& text) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size())
    throw InputError(name + " = " + shortened(text) + ": expected a whole number");
  return value;
}

}  // namespace basin::tools
