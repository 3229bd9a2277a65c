#include "common/command/journal_header.h"

#include "common/command/checksum.h"

namespace basin::tools {
namespace {

constexpr const char* kSeal = "\nspecification ";

std::string sealed_header(const std::string& text) {
  return text + kSeal + checksum(text) + "\n";
}

}  // namespace

std::string journal_header(const std::string& first_line, const Specification& specification) {
  return sealed_header(first_line + "\n" + specification_text(specification));
}

std::optional<FoundHeader> find_header(const std::string& bytes, const std::string& first_line,
                                       const std::string& expected) {
  const std::size_t seal = bytes.find(kSeal),
                    end = seal == std::string::npos ? seal : bytes.find('\n', seal + 1);
  if (end == std::string::npos)
    return expected.compare(0, bytes.size(), bytes) == 0 ? std::optional(FoundHeader{}) : std::nullopt;
  const std::string text = bytes.substr(0, seal);
  if (bytes.compare(0, end + 1, sealed_header(text)) != 0 || text.rfind(first_line, 0) != 0)
    return std::nullopt;
  return FoundHeader{end + 1, parse_specification(text)};
}

}  // namespace basin::tools
