#include "basin/network/strict_json.h"

#include <array>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <set>
#include <vector>

#include "basin/linalg/errors.h"

namespace basin {
namespace {

using Json = nlohmann::ordered_json;

constexpr int kDepth = 64;  // of brackets

/// The bytes of the UTF-8 character that begins there, with its code; 0 bytes where there is none (RFC 3629).
std::size_t character_bytes(std::string_view text, std::size_t place, char32_t& code) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[place + i]); };
  code = byte(0);
  if (code < 0x80) return 1;
  const std::size_t bytes = code >= 0xf0 ? 4 : code >= 0xe0 ? 3 : 2;
  if (code < 0xc2 || code > 0xf4 || place + bytes > text.size()) return 0;
  code &= 0x7fU >> bytes;
  for (std::size_t k = 1; k < bytes; ++k) {
    if ((byte(k) & 0xc0U) != 0x80U) return 0;
    code = code << 6U | (byte(k) & 0x3fU);
  }
  const char32_t least = bytes == 4 ? 0x10000 : bytes == 3 ? 0x800 : 0x80;
  const bool surrogate = code >= 0xd800 && code < 0xe000;
  return code < least || code > 0x10ffff || surrogate ? 0 : bytes;
}

/// New lines, control characters, and marks that turn text around.
bool is_harmless(char32_t code) {
  return code >= 0x20 && (code < 0x7f || code >= 0xa0) && (code < 0x200e || code > 0x200f) &&
         (code < 0x2028 || code > 0x202e) && (code < 0x2066 || code > 0x2069);
}

std::string size_words(std::size_t bytes) {
  constexpr std::size_t kMebibyte = 1U << 20U;
  return bytes > 0 && bytes % kMebibyte == 0 ? std::to_string(bytes / kMebibyte) + " MiB"
                                             : std::to_string(bytes) + " bytes";
}

}  // namespace

std::string printable(std::string_view bytes, std::size_t most) {
  std::string text;
  std::size_t end = 0;
  for (char32_t code = 0; end < bytes.size();) {
    const std::size_t length = character_bytes(bytes, end, code);
    const std::size_t taken = length == 0 ? 1 : length;
    if (end + taken > most) break;
    const std::string_view character = bytes.substr(end, taken);
    if (length > 0 && is_harmless(code)) {
      text += character;
    } else {
      for (const char byte : character) {
        std::array<char, 5> digits{};
        std::snprintf(digits.data(), digits.size(), "\\x%02x", static_cast<unsigned char>(byte));
        text += digits.data();
      }
    }
    end += taken;
  }
  return end < bytes.size() ? text + "..." : text;
}

std::string json_problem(const std::exception& error) {
  // "[json.exception.parse_error.101] parse error at line 1, column 9: ..."
  const std::string_view what = error.what();
  const std::size_t end = what.find("] ");
  return printable(what.substr(end == std::string_view::npos ? 0 : end + 2), 160);
}

Json strict_json(const std::string& text, std::size_t most_bytes) {
  if (text.size() > most_bytes)
    throw InputError(std::to_string(text.size()) + " bytes; expected at most " + size_words(most_bytes));
  if (const std::size_t zero = text.find('\0'); zero != std::string::npos)  // the parser would stop there
    throw InputError("no JSON: a zero byte at byte " + std::to_string(zero));
  std::vector<std::set<std::string>> keys(kDepth + 1);
  const Json::parser_callback_t look = [&](int depth, Json::parse_event_t event, Json& value) {
    const bool start =
        event == Json::parse_event_t::object_start || event == Json::parse_event_t::array_start;
    if (start && depth >= kDepth)
      throw InputError("nested deeper than " + std::to_string(kDepth) + " brackets");
    if (event == Json::parse_event_t::object_start) {
      keys[static_cast<std::size_t>(depth) + 1].clear();
    } else if (event == Json::parse_event_t::key) {
      const std::string key = value.get<std::string>();
      if (!keys[static_cast<std::size_t>(depth)].insert(key).second)
        throw InputError("the member '" + printable(key) + "' stands twice in one object");
    }
    return true;
  };
  try {
    return Json::parse(text, look);
  } catch (const Json::exception& error) {
    throw InputError("no JSON: " + json_problem(error));
  }
}

}  // namespace basin
