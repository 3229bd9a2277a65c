#include "common/command/words.h"

#include <catch2/catch.hpp>

using namespace basin;
using namespace basin::tools;

TEST_CASE("numbers are the whole text, and finite") {
  CHECK(parse_number("1e-3") == 1e-3);
  CHECK(parse_number("+2") == 2);
  CHECK(parse_number("-.5") == -.5);
  CHECK(parse_number("1e-310") == 1e-310);
  for (const char* text :
       {"", " ", "1 ", " 1", "1x", "0x10", "nan", "inf", "-inf", "1e400", "1,5", "++1", "+-1", "+"})
    CHECK_FALSE(parse_number(text));
  CHECK(parse_index("-12") == -12);
  CHECK(parse_index("+12") == 12);
  CHECK(parse_index("9223372036854775807") == 9223372036854775807);
  for (const char* text :
       {"", "1.5", "1e3", "9223372036854775808", "999999999999999999999", "1 ", "+-1", "x"})
    CHECK_FALSE(parse_index(text));
}

TEST_CASE("lists keep their empty parts") {
  using Parts = std::vector<std::string>;
  CHECK(split("a,b", ',') == Parts{"a", "b"});
  CHECK(split("a,,b,", ',') == Parts{"a", "", "b", ""});
  CHECK(split("", ',') == Parts{""});
}
