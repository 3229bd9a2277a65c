#include "basin/linalg/words.h"

#include <catch2/catch.hpp>

using namespace basin;

TEST_CASE("the nearest word is proposed, or all there are") {
  CHECK(meant("haeds", {"head-dim", "heads"}) == "; did you mean 'heads'?");
  CHECK(meant("heads", {"heads"}) == "; did you mean 'heads'?");
  CHECK(meant("width", {"heads", "kernel"}) == "; expected one of heads, kernel");
  CHECK(meant(std::string(100, 'x'), {"heads"}) == "; expected one of heads");
}

TEST_CASE("words of a user are shown in quotes, and not at any length") {
  CHECK(shown("rows") == "'rows'");
  CHECK(shown(std::string(61, 'x')) == "'" + std::string(60, 'x') + "...'");
  CHECK(shape_text({3, 4, 5}) == "(3, 4, 5)");
  CHECK(shape_text({3}) == "(3,)");
  CHECK(shape_text({}) == "()");
}

TEST_CASE("the nearest words come first, as many as are asked for") {
  const std::vector<std::string> known = {"blocks.0.mlp.W", "blocks.0.attention.W_Q",
                                          "blocks.1.attention.W_Q", "head.W"};
  CHECK(nearest("blocks.1.attn.W_Q", known, 2) ==
        std::vector<std::string>{"blocks.1.attention.W_Q", "blocks.0.attention.W_Q"});
  CHECK(nearest("head", known, 1) == std::vector<std::string>{"head.W"});
  CHECK(nearest("x", known, 9).size() == 4);
  CHECK(nearest(std::string(10'000'000, 'x'), known, 1).size() == 1);
}
