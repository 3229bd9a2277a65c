#include "basin/problem/encoding.h"

#include <sys/stat.h>

#include "basin/linalg/errors.h"
#include "support/temporary_folder.h"

using namespace basin;
using namespace basin::test;
using namespace std::string_literals;

namespace {

std::string of(char32_t code) {
  std::string text;
  append_utf8(text, code);
  return text;
}

}  // namespace

TEST_CASE("UTF-8: every character goes and comes back, and nothing else is taken for one") {
  for (char32_t code = 0; code <= 0x10ffff; code += code < 0x3000 ? 1 : 97) {
    if (code >= 0xd800 && code < 0xe000) continue;
    const std::string text = of(code);
    const Character found = character_at(text, 0);
    REQUIRE((found.code == code && found.bytes == text.size()));
    if (text.size() > 1)
      REQUIRE(character_at(std::string_view(text).substr(0, text.size() - 1), 0).bytes == 0);
  }
  for (const std::string bad : {"\x80", "\xc0\xaf", "\xc1\xbf", "\xe0\x80\xaf", "\xe0\x9f\xbf",
                                "\xf0\x80\x80\xaf", "\xf0\x8f\xbf\xbf", "\xed\xa0\x80", "\xed\xbf\xbf",
                                "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xff", "\xc3(", "\xe2\x82("}) {
    CHECK(character_at(bad, 0).bytes == 0);
    CHECK(first_not_utf8("caf\xc3\xa9 " + bad) == 6);
    CHECK(first_not_utf8(escaped("caf\xc3\xa9 " + bad)) == std::string::npos);
  }
  CHECK(first_not_utf8("caf\xc3\xa9") == std::string::npos);
}

TEST_CASE("escapes: what is UTF-8 stays, the rest can be read") {
  CHECK(escaped("caf\xc3\xa9\n") == "caf\xc3\xa9\n");
  CHECK(escaped("\xe9t\xe9.h5") == "\\xe9t\\xe9.h5");
  CHECK(escaped("caf\xc3\xa9\n\t\x1b[1m\x7f", true) == "caf\xc3\xa9\\n\\t\\x1b[1m\\x7f");
  CHECK(escaped("a\xe2\x80\xae"
                "b\xe2\x80\xa8",
                true) ==
        "a\\xe2\\x80\\xae"
        "b\\xe2\\x80\\xa8");                                        // right to left, new line
  CHECK(escaped("caf\xc3\xa9\xff", true) == "caf\\xc3\\xa9\\xff");  // no UTF-8 as a whole
  CHECK(shortened("short") == "short");
  CHECK(shortened("aaaa\xc3\xa9zzz", 5) == "aaaa...");
  CHECK(shortened("aaaa\xc3\xa9zzz", 6) == "aaaa\xc3\xa9...");
}

TEST_CASE("byte order marks: UTF-8, UTF-16 and UTF-32 become the same text") {
  const std::string text = "a" + of(0xe9) + of(0x1f600);  // an e with an accent, a smile
  CHECK(unmarked("x", text) == text);
  CHECK(unmarked("x", "\xef\xbb\xbf" + text) == text);
  CHECK(unmarked("x", "\xff\xfe"s + "a\0\xe9\0\x3d\xd8\0\xde"s) == text);
  CHECK(unmarked("x", "\xfe\xff"s + "\0a\0\xe9\xd8\x3d\xde\0"s) == text);
  CHECK(unmarked("x", "\xff\xfe\0\0"s + "a\0\0\0\xe9\0\0\0\0\xf6\x01\0"s) == text);
  CHECK(unmarked("x", "\0\0\xfe\xff"s + "\0\0\0a\0\0\0\xe9\0\x01\xf6\0"s) == text);
  CHECK(unmarked("x", "caf\xe9") == "caf\xe9");  // left to others
}

TEST_CASE("texts that are not what their mark says are refused, and what is no text") {
  const auto refused = [](const std::string& bytes, const std::string& message) {
    CHECK_THROWS_WITH(unmarked("x.txt", bytes), Catch::StartsWith("x.txt: ") && Catch::Contains(message));
  };
  refused("\xef\xbb\xbf"s + "caf\xe9", "mark of UTF-8, but no UTF-8 at byte 6");
  refused("\xff\xfe"s + "a"s, "mark of UTF-16, but no UTF-16 at byte 2");
  refused("\xff\xfe"s + "\x3d\xd8"s, "no UTF-16 at byte 4");        // half a pair
  refused("\xff\xfe"s + "a\0\0\xde"s, "no UTF-16 at byte 4");       // the other half
  refused("\xff\xfe\0\0"s + "\0\0\x11\0"s, "no UTF-32 at byte 4");  // beyond U+10FFFF
  refused("a\0b\0"s, "found a zero byte at 1");                     // UTF-16 without a mark
  refused("\xef\xbb\xbf"s + "a\0"s, "found a zero byte at 1");
}

TEST_CASE("other encodings: pairs of surrogates are put together, the rest is taken for Windows-1252") {
  bool guessed = false;
  CHECK(to_utf8("caf\xc3\xa9", guessed) == "caf\xc3\xa9");
  CHECK(to_utf8("so \xed\xa0\xbd\xed\xb8\x80 good", guessed) == "so " + of(0x1f600) + " good");
  CHECK_FALSE(guessed);
  CHECK(to_utf8("caf\xe9", guessed) == "caf\xc3\xa9");
  CHECK(guessed);
  CHECK(to_utf8("don\x92t \x96 \x80", guessed) == "don" + of(0x2019) + "t " + of(0x2013) + " " + of(0x20ac));
  for (const std::string bad :
       {"\xc0\xaf", "\xed\xa0\xbd", "\xed\xb8\x80", "\xed\xa0\xbdx", "\xf4\x90\x80\x80"}) {
    guessed = false;
    CHECK(first_not_utf8(to_utf8(bad, guessed)) == std::string::npos);
    CHECK(guessed);
  }
}

TEST_CASE("files that cannot be read are refused for the system's reason") {
  const TemporaryFolder folder;
  folder.write("a", std::string(200000, 'x') + '\0');
  CHECK(read_bytes(folder / "a") == std::string(200000, 'x') + '\0');
  CHECK_THROWS_WITH(read_bytes(folder / "b"),
                    Catch::EndsWith("b: cannot be read: No such file or directory"));
  CHECK_THROWS_WITH(read_bytes(folder / ""), Catch::EndsWith("cannot be read: Is a directory"));
  CHECK_THROWS_WITH(read_bytes("/proc/self/mem"), Catch::StartsWith("/proc/self/mem: cannot be read: "));
}
