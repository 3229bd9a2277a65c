#include "common/command/assertions.h"

#include <catch2/catch.hpp>

#include "basin/linalg/errors.h"

using namespace basin;
using namespace basin::tools;

TEST_CASE("verdicts are declared with what they say, and named as they were declared") {
  Assertions assertions;
  CHECK_FALSE(assertions.any());
  CHECK(assertions.declare({{"good", "it is"}, {"better", "than good"}}) ==
        "exit with code 3 unless this holds: good (it is); better (than good)");
  CHECK(assertions.any());
  using Names = std::vector<std::string>;
  CHECK(assertions.named("good") == Names{"good"});
  CHECK(assertions.named("good,better,good") == Names{"good", "better", "good"});
  CHECK_THROWS_AS(assertions.named("best"), InputError);
  CHECK_THROWS_WITH(assertions.named("good,best"),
                    "--assert good,best: found 'best'; expected better or good");
  for (const char* list : {"", "good,", ",good", "good,,better"})  // an empty name is none
    CHECK_THROWS_WITH(assertions.named(list), Catch::Contains(": found ''; expected better or good"));
  for (const char* list : {"Good", " good", "good better", "good;better"})
    CHECK_THROWS_AS(assertions.named(list), InputError);
}

TEST_CASE("an assertion holds only if every verdict that it names is known to") {
  Assertions assertions;
  assertions.declare({{"good", ""}, {"better", ""}, {"best", ""}});
  assertions.verdict("good", true);
  assertions.verdict("better", false);
  CHECK_NOTHROW(assertions.check("good"));
  CHECK_NOTHROW(assertions.check("good,good"));
  CHECK_THROWS_AS(assertions.check("better"), RefutedAssertion);
  CHECK_THROWS_WITH(assertions.check("better"), "--assert better: does not hold");
  CHECK_THROWS_WITH(assertions.check("good,better"), "--assert better: does not hold");
  CHECK_THROWS_WITH(assertions.check("best"), "--assert best: not judged, as the result was there already");
  // The first that does not hold is named; what nobody has heard of comes before all of them.
  CHECK_THROWS_WITH(assertions.check("good,best,better"), Catch::Contains("--assert best: not judged"));
  CHECK_THROWS_AS(assertions.check("better,worst"), InputError);
  // The last word counts.
  assertions.verdict("better", true);
  assertions.verdict("good", false);
  CHECK_NOTHROW(assertions.check("better"));
  CHECK_THROWS_AS(assertions.check("better,good"), RefutedAssertion);
  CHECK_THROWS_AS(assertions.verdict("worst", true), std::out_of_range);
}
