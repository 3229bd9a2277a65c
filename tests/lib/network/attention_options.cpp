#include "basin/network/attention_options.h"

#include <catch2/catch.hpp>

#include "basin/linalg/errors.h"

using namespace basin;

TEST_CASE("options of attention that do not fit are refused in one line") {
  CHECK_NOTHROW(check_options({}, 1, 1));
  CHECK_NOTHROW(check_options({2, "qo", true, {4, 1, RotaryPairing::interleaved}}, 4, 4));
  CHECK_THROWS_WITH(check_options({.kv_heads = 3}, 4, 4), "kv-heads = 3; expected a divisor of heads H = 4");
  CHECK_THROWS_WITH(check_options({.kv_heads = -1}, 4, 4),
                    "kv-heads = -1; expected a divisor of heads H = 4");
  for (const char* bias : {"x", "qq", "kq", "QKV"})
    CHECK_THROWS_WITH(
        check_options({.bias = bias}, 4, 4),
        "bias '" + std::string(bias) + "'; expected some of the letters of 'qkvo', in this order");
  for (const Index dimensions : {-2, 3, 6})
    CHECK_THROWS_WITH(check_options({.rotary = {.dimensions = dimensions}}, 4, 4),
                      "rotary dimensions = " + std::to_string(dimensions) +
                          "; expected an even number of at most the head dimension d = 4");
  for (const double base : {0.0, -1.0, 1.0 / 0.0})
    CHECK_THROWS_AS(check_options({.rotary = {.dimensions = 2, .base = base}}, 4, 4), InputError);
}
