#include "basin/problem/encoding.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <memory>

#include "basin/linalg/errors.h"

namespace basin {
namespace {

unsigned char byte_at(std::string_view text, std::size_t i) {
  return static_cast<unsigned char>(text[i]);
}

bool is_surrogate(char32_t code) {
  return code >= 0xd800 && code < 0xe000;
}

char32_t join(char32_t high, char32_t low) {
  return 0x10000 + ((high - 0xd800) << 10U) + (low - 0xdc00);
}

/// The same as character_at, with surrogates let through.
Character character_or_surrogate_at(std::string_view text, std::size_t place) {
  const unsigned char lead = byte_at(text, place);
  if (lead < 0x80) return {lead, 1};
  const std::size_t bytes = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
  if (lead < 0xc2 || lead > 0xf4 || place + bytes > text.size()) return {lead, 0};
  char32_t code = lead & (0x7fU >> bytes);
  for (std::size_t k = 1; k < bytes; ++k) {
    const unsigned char next = byte_at(text, place + k);
    if ((next & 0xc0U) != 0x80U) return {lead, 0};
    code = code << 6U | (next & 0x3fU);
  }
  const char32_t least = bytes == 4 ? 0x10000 : bytes == 3 ? 0x800 : 0x80;
  return code < least || code > 0x10ffff ? Character{lead, 0} : Character{code, bytes};
}

std::string hexadecimal(unsigned char byte) {
  std::array<char, 5> digits{};
  std::snprintf(digits.data(), digits.size(), "\\x%02x", byte);
  return digits.data();
}

/// From units of `size` bytes, 2 or 4.
std::string from_utf16_or_32(const std::string& path, std::string_view text, std::size_t size,
                             bool big_endian) {
  const std::string name = size == 2 ? "UTF-16" : "UTF-32";
  const auto fail = [&](std::size_t place) {
    throw InputError(path + ": found the byte order mark of " + name + ", but no " + name + " at byte " +
                     std::to_string(place));
  };
  const auto unit = [&](std::size_t place) {
    if (place + size > text.size()) fail(place);
    char32_t code = 0;
    for (std::size_t k = 0; k < size; ++k)
      code = code << 8U | byte_at(text, place + (big_endian ? k : size - 1 - k));
    return code;
  };
  std::string result;
  for (std::size_t i = size; i < text.size(); i += size) {
    char32_t code = unit(i);
    if (size == 2 && code >= 0xd800 && code < 0xdc00) {
      const char32_t low = unit(i + 2);
      if (low < 0xdc00 || low >= 0xe000) fail(i);
      code = join(code, low);
      i += 2;
    }
    if (is_surrogate(code) || code > 0x10ffff) fail(i);
    append_utf8(result, code);
  }
  return result;
}

void refuse_zero_bytes(const std::string& path, std::string_view text) {
  if (const std::size_t zero = text.find('\0'); zero != std::string_view::npos)
    throw InputError(path + ": found a zero byte at " + std::to_string(zero) +
                     "; expected text, in UTF-8 or with a byte order mark");
}

}  // namespace

Character character_at(std::string_view text, std::size_t place) {
  const Character found = character_or_surrogate_at(text, place);
  return is_surrogate(found.code) ? Character{byte_at(text, place), 0} : found;
}

void append_utf8(std::string& text, char32_t code) {
  const auto put = [&](char32_t byte) { text += static_cast<char>(byte); };
  if (code < 0x80) return put(code);
  if (code < 0x800) {
    put(0xc0U | code >> 6U);
  } else {
    if (code < 0x10000) {
      put(0xe0U | code >> 12U);
    } else {
      put(0xf0U | code >> 18U);
      put(0x80U | (code >> 12U & 0x3fU));
    }
    put(0x80U | (code >> 6U & 0x3fU));
  }
  put(0x80U | (code & 0x3fU));
}

std::size_t first_not_utf8(std::string_view text) {
  for (std::size_t i = 0; i < text.size();) {
    const std::size_t bytes = character_at(text, i).bytes;
    if (bytes == 0) return i;
    i += bytes;
  }
  return std::string_view::npos;
}

std::string escaped(std::string_view bytes, bool controls) {
  const bool all = controls && first_not_utf8(bytes) != std::string_view::npos;
  std::string text;
  for (std::size_t i = 0; i < bytes.size();) {
    auto [code, length] = character_at(bytes, i);
    if (all && code >= 0x80) code = byte_at(bytes, i), length = 0;
    const bool control = code < 0x20 || (code >= 0x7f && code < 0xa0);
    const bool layout = (code >= 0x200e && code <= 0x200f) || (code >= 0x2028 && code <= 0x202e) ||
                        (code >= 0x2066 && code <= 0x2069);  // new lines, and marks that turn text around
    if (length == 0)
      text += hexadecimal(byte_at(bytes, i));
    else if (controls && (code == '\n' || code == '\t' || code == '\r'))
      text += code == '\n' ? "\\n" : code == '\t' ? "\\t" : "\\r";
    else if (controls && control)
      text += hexadecimal(static_cast<unsigned char>(code));
    else if (controls && layout)
      for (const char byte : bytes.substr(i, length)) text += hexadecimal(static_cast<unsigned char>(byte));
    else
      text += bytes.substr(i, length);
    i += length == 0 ? 1 : length;
  }
  return text;
}

std::string shortened(const std::string& name, std::size_t most) {
  if (name.size() <= most) return name;
  std::size_t end = 0;
  for (std::size_t i = 0; i <= most; i += std::max<std::size_t>(character_at(name, i).bytes, 1)) end = i;
  return name.substr(0, end) + "...";
}

char32_t windows_1252(unsigned char byte) {
  static constexpr std::array<char16_t, 32> kSpecial = {
      0x20ac, 0x81,   0x201a, 0x192,  0x201e, 0x2026, 0x2020, 0x2021, 0x2c6,  0x2030, 0x160,
      0x2039, 0x152,  0x8d,   0x17d,  0x8f,   0x90,   0x2018, 0x2019, 0x201c, 0x201d, 0x2022,
      0x2013, 0x2014, 0x2dc,  0x2122, 0x161,  0x203a, 0x153,  0x9d,   0x17e,  0x178};
  return byte >= 0x80 && byte < 0xa0 ? kSpecial[byte - 0x80U] : byte;
}

std::string read_bytes(const std::string& path) {
  const auto fail = [&](int reason) {
    throw InputError(path + ": cannot be read: " + std::strerror(reason));
  };
  std::error_code error;
  if (std::filesystem::is_directory(path, error)) fail(EISDIR);
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path.c_str(), "rb"), std::fclose);
  if (!file) fail(errno);
  std::string bytes;
  std::array<char, 1 << 16> buffer{};
  while (const std::size_t got = std::fread(buffer.data(), 1, buffer.size(), file.get()))
    bytes.append(buffer.data(), got);
  if (std::ferror(file.get()) != 0) fail(errno);
  return bytes;
}

std::string unmarked(const std::string& path, std::string bytes) {
  using namespace std::string_view_literals;
  const auto begins = [&](std::string_view mark) { return bytes.compare(0, mark.size(), mark) == 0; };
  std::string text;
  if (begins("\xff\xfe\0\0"sv) || begins("\0\0\xfe\xff"sv)) {
    text = from_utf16_or_32(path, bytes, 4, bytes[0] == 0);
  } else if (begins("\xff\xfe"sv) || begins("\xfe\xff"sv)) {
    text = from_utf16_or_32(path, bytes, 2, begins("\xfe\xff"sv));
  } else if (begins("\xef\xbb\xbf"sv)) {
    text = bytes.substr(3);
    if (const std::size_t place = first_not_utf8(text); place != std::string::npos)
      throw InputError(path + ": found the byte order mark of UTF-8, but no UTF-8 at byte " +
                       std::to_string(place + 3));
  } else {
    text = std::move(bytes);
  }
  refuse_zero_bytes(path, text);
  return text;
}

std::string to_utf8(std::string text, bool& guessed) {
  if (first_not_utf8(text) == std::string::npos) return text;
  std::string joined;
  for (std::size_t i = 0; i < text.size();) {
    auto [code, bytes] = character_or_surrogate_at(text, i);
    if (bytes == 0) break;
    i += bytes;
    if (is_surrogate(code)) {
      const Character low = i < text.size() ? character_or_surrogate_at(text, i) : Character{0, 0};
      if (code >= 0xdc00 || low.bytes == 0 || low.code < 0xdc00 || low.code >= 0xe000) break;
      code = join(code, low.code);
      i += low.bytes;
    }
    append_utf8(joined, code);
    if (i == text.size()) return joined;
  }
  guessed = true;
  std::string result;
  for (const char c : text) append_utf8(result, windows_1252(static_cast<unsigned char>(c)));
  return result;
}

}  // namespace basin
