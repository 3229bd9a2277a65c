/// Character encodings: what comes from elsewhere becomes UTF-8 (RFC 3629).
#pragma once

#include <string>
#include <string_view>

namespace basin {

/// A character of a text, and the bytes that it takes there; 0 where the text is not UTF-8: for overlong
/// forms, surrogates, what is beyond U+10FFFF or cut off.
struct Character {
  char32_t code;
  std::size_t bytes;
};
Character character_at(std::string_view text, std::size_t place);
void append_utf8(std::string& text, char32_t code);

/// The first place that is not UTF-8; npos if there is none.
std::size_t first_not_utf8(std::string_view text);

/// UTF-8 whatever the bytes are, by escapes: those that are not UTF-8 become "\xe9" and the like. With
/// `controls`, for terminals: control characters, too ("\n", "\x1b"), and all beyond ASCII of what is not
/// UTF-8 as a whole.
std::string escaped(std::string_view bytes, bool controls = false);

/// A name out of a foreign file, for messages: not longer than a line can be.
std::string shortened(const std::string& name, std::size_t most = 60);

/// What Windows-1252, a superset of Latin-1, means by a byte; those it leaves open are control characters.
char32_t windows_1252(unsigned char byte);

/// The bytes of a file, or of a pipe. Throws InputError with the system's reason.
std::string read_bytes(const std::string& path);

/// A text that may begin with a byte order mark: of UTF-8, which is dropped, or of UTF-16 or UTF-32, which
/// become UTF-8. What has none stays as it is, whatever its encoding. Throws InputError, naming the path, for
/// text that is not what its mark says, and for zero bytes, which no other text has.
std::string unmarked(const std::string& path, std::string bytes);

/// A text in UTF-8: itself, if it is in UTF-8; or with surrogates in pairs (CESU-8) put together; or taken
/// for Windows-1252, which sets `guessed`.
std::string to_utf8(std::string text, bool& guessed);

}  // namespace basin
