#include "basin/network/strict_json.h"

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include "basin/linalg/errors.h"

using namespace basin;

namespace {

constexpr std::size_t kMebibyte = 1U << 20U;

/// What is said of a text that is refused; empty for one that is not.
std::string said_of(const std::string& text, std::size_t most = kMebibyte) {
  try {
    strict_json(text, most);
    return "";
  } catch (const InputError& error) {
    return error.what();
  }
}

std::string repeated(const std::string& text, int times) {
  std::string all;
  for (int i = 0; i < times; ++i) all += text;
  return all;
}

}  // namespace

TEST_CASE("JSON keeps the order of members, and numbers to their last digit") {
  const nlohmann::ordered_json json = strict_json(
      R"({"z": [1, -2, 0.1], "a": {"z": "\u00e9\ud83d\ude00", "b": null}, "m": 18446744073709551615})", 200);
  CHECK(json.dump() == R"({"z":[1,-2,0.1],"a":{"z":")"
                       "\xc3\xa9\xf0\x9f\x98\x80"
                       R"(","b":null},"m":18446744073709551615})");
  CHECK(strict_json(" 5 ", 3) == 5);
  CHECK(said_of(R"([{"a": 1}, {"a": 1}, {"a": {"a": {"a": 1}}}])").empty());
}

TEST_CASE("what is no JSON is refused with its place, in one line") {
  CHECK(
      said_of("") ==
      "no JSON: parse error at line 1, column 1: syntax error while parsing value - unexpected end of input; "
      "expected '[', '{', or a literal");
  CHECK_THAT(said_of("{\"a\": 1,\n}"), Catch::StartsWith("no JSON: parse error at line 2, column 1: "));
  for (const char* text :
       {"{} {}", "[1,]", "{'a': 1}", "[01]", "[NaN]", "[1] // x", "\"\\ud800\"", "[1", "nul"})
    CHECK_THAT(said_of(text), Catch::StartsWith("no JSON: parse error at line 1, column "));
  CHECK(said_of(std::string("{}\0", 3)) == "no JSON: a zero byte at byte 2");
  CHECK(said_of(std::string("{}\0[", 4)) == "no JSON: a zero byte at byte 2");
}

TEST_CASE(
    "texts in other encodings are refused, and what is said of them is UTF-8 without control characters") {
  CHECK_THAT(said_of("[\"\xe9\"]"),
             Catch::Contains("ill-formed UTF-8 byte") && Catch::Contains(R"('"\xe9"')"));
  for (const char* bad :
       {"[\"\xc0\xaf\"]", "[\"\xed\xa0\x80\"]", "[\"\xf5\x80\x80\x80\"]", "[\"\xc3\"]", "\xff"})
    CHECK_THAT(said_of(bad), Catch::StartsWith("no JSON: parse error"));
  CHECK_THAT(said_of("[\"\x1b[2J\"]"), Catch::Contains("control character U+001B (ESC) must be escaped"));
  CHECK_THAT(said_of("[\x7f"), Catch::Contains(R"(last read: '[\x7f')"));
  CHECK_THAT(said_of("[\"\xc2\x9b\xe2\x80\xae\\q"), Catch::Contains(R"(\xc2\x9b\xe2\x80\xae)"));
  CHECK(said_of(R"({"\u001b[2J\n": 1, "\u001b[2J\n": 2})") ==
        R"(the member '\x1b[2J\x0a' stands twice in one object)");
  const std::string long_word = said_of("[\"" + std::string(1'000'000, 'x'));
  CHECK(long_word.size() < 200);
}

TEST_CASE("a member that stands twice is refused at every depth, whatever escapes it is written with") {
  CHECK(said_of(R"({"a": 1, "b": 2, "a": 1})") == "the member 'a' stands twice in one object");
  CHECK(said_of(R"([1, {"x": [{"b": 1, "\u0062": 2}]}])") == "the member 'b' stands twice in one object");
  CHECK(said_of(R"({"a": {"b": 1}, "c": {"b": 1}, "a": 2})") == "the member 'a' stands twice in one object");
  CHECK(said_of(R"({"": 1, "": 2})") == "the member '' stands twice in one object");
}

TEST_CASE("64 brackets may stand inside each other, and no text is too deep for the stack") {
  const std::string deeper = "nested deeper than 64 brackets";
  CHECK(said_of(repeated("[", 64) + repeated("]", 64)).empty());
  CHECK(said_of(repeated("[", 65) + repeated("]", 65)) == deeper);
  CHECK(said_of(repeated(R"({"a":)", 64) + "1" + repeated("}", 64)).empty());
  CHECK(said_of(repeated(R"({"a":)", 65) + "1" + repeated("}", 65)) == deeper);
  CHECK(said_of(repeated(R"([{"a":)", 32) + "1" + repeated("}]", 32)).empty());
  CHECK(said_of(repeated(R"([{"a":)", 32) + "[]" + repeated("}]", 32)) == deeper);
  CHECK(said_of(std::string(1'000'000, '[')) == deeper);
  CHECK(said_of(repeated(R"({"a":)", 100'000)) == deeper);
}

TEST_CASE("long texts and numbers beyond a double's are refused") {
  CHECK(said_of(std::string(kMebibyte, ' ') + "1") == "1048577 bytes; expected at most 1 MiB");
  CHECK(said_of("[1, 2]", 5) == "6 bytes; expected at most 5 bytes");
  CHECK(said_of("[1, 2]", 6).empty());
  CHECK(said_of("[1e999]") == "no JSON: number overflow parsing '1e999'");
  CHECK(said_of("[-1e999]") == "no JSON: number overflow parsing '-1e999'");
  CHECK(strict_json("[1e-999]", 100)[0] == 0);
}

TEST_CASE("bytes are shown in UTF-8 on one line, and not at any length") {
  CHECK(printable("a b'\xc3\xa9\xe2\x82\xac") == "a b'\xc3\xa9\xe2\x82\xac");
  CHECK(printable(std::string_view("\0\x1f\x7f\n", 4)) == R"(\x00\x1f\x7f\x0a)");
  CHECK(printable("\xc2\x85|\xe2\x80\x8f|\xe2\x80\xa8|\xe2\x81\xa6") ==
        R"(\xc2\x85|\xe2\x80\x8f|\xe2\x80\xa8|\xe2\x81\xa6)");
  CHECK(printable("\xff\xc3|\xed\xa0\x80|\xe2\x82") == R"(\xff\xc3|\xed\xa0\x80|\xe2\x82)");
  CHECK(printable("12345", 5) == "12345");
  CHECK(printable("123456", 5) == "12345...");
  CHECK(printable("1234\xc3\xa9", 5) == "1234...");
}
