#include "basin/checkpoint/configuration.h"

#include <catch2/catch.hpp>

#include "basin/linalg/errors.h"

using namespace basin;
using Catch::Contains;

TEST_CASE("a configuration is asked key by key") {
  const Configuration c("config.json", R"({"n": 4, "eps": 1e-6, "bias": false, "act": "gelu", "none": null,
                                           "side": [4, 6], "inner": {"depth": 2}, "kinds": ["A", "B"]})");
  CHECK(c.size({"m", "n"}) == 4);
  CHECK(c.size({"m"}, 7) == 7);
  CHECK(c.size({"none"}, 7) == 7);
  CHECK(c.number({"eps"}, 1) == 1e-6);
  CHECK(c.number({"n"}, 1) == 4);
  CHECK_FALSE(c.flag("bias", true));
  CHECK(c.word({"act"}) == "gelu");
  CHECK(c.sides("side") == std::pair<Index, Index>{4, 6});
  CHECK(c.sides("n") == std::pair<Index, Index>{4, 4});
  CHECK(c.object("inner").size({"depth"}) == 2);
  CHECK_FALSE(c.object("outer").has("depth"));
  CHECK(c.first_word("kinds") == "A");
  CHECK(c.first_word("none").empty());
  CHECK(c.unread().empty());
}

TEST_CASE("a configuration refuses by file and key") {
  const Configuration c("f/config.json",
                        R"({"n": -1, "m": 2.5, "s": "4", "big": 18446744073709551615, "bias": 1,
                                             "inner": {"n": 0}, "list": [1, 2, 3], "scaled": {"type": "linear"}})");
  for (const char* key : {"n", "m", "s", "big", "bias"})
    if (std::string(key) != "bias")
      CHECK_THROWS_WITH(c.size({key}), Contains(std::string("f/config.json: ") + key + ": found"));
  CHECK_THROWS_WITH(c.size({"a", "b"}), Contains("'a' or 'b' is missing"));
  CHECK_THROWS_WITH(c.object("inner").size({"n"}), Contains("f/config.json: inner.n: found 0"));
  CHECK_THROWS_WITH(c.flag("bias", true), Contains("bias: found 1; expected true or false"));
  CHECK_THROWS_WITH(c.word({"n"}), Contains("expected a string"));
  CHECK_THROWS_WITH(c.number({"s"}, 1), Contains("expected a number"));
  CHECK_THROWS_WITH(c.sides("list"), Contains("one number or two"));
  CHECK_THROWS_WITH(c.object("n"), Contains("expected an object"));
  CHECK_THROWS_WITH(c.expect_absent("scaled"), Contains("scaled: found") && Contains("expected it null"));
  const Configuration words("c", R"({"w": "other", "f": true})");
  CHECK_THROWS_WITH(words.expect_word("w", "this"), Contains("found 'other'") && Contains("expected 'this'"));
  CHECK_THROWS_WITH(words.expect_flag("f", false), Contains("found true"));
  CHECK_NOTHROW(words.expect_word("x", "this"));
  CHECK_NOTHROW(words.expect_flag("x", false));
  for (const char* text : {"[1]", "{", "{\"a\": 1, \"a\": 2}", ""})
    CHECK_THROWS_AS(Configuration("c", text), InputError);
}

TEST_CASE("keys that nobody asks for are listed, and slips are refused") {
  const Configuration c("config.json", R"({"norm_first": true, "comment": 1, "dropout": 0.1})");
  CHECK(c.flag("norm_first", false));
  c.pass({"dropout"});
  CHECK(c.unread() == std::vector<std::string>{"comment"});
  const Configuration foreign("config.json",
                              R"({"layer_norm_eps": 1e-5, "dropout": 0.1, "use_cache": true, "act": null})");
  CHECK(foreign.unread_with({"eps", "act"}) == std::vector<std::string>{"layer_norm_eps"});
  CHECK(foreign.number({"layer_norm_eps"}, 0) == 1e-5);
  CHECK(foreign.unread_with({"eps", "act"}).empty());
  const Configuration slip("config.json", R"({"norm_frist": true})");
  CHECK_FALSE(slip.flag("norm_first", false));
  CHECK_THROWS_WITH(slip.unread(), Contains("norm_frist") && Contains("did you mean 'norm_first'"));
}
