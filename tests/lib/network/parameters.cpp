#include "basin/network/parameters.h"

#include <catch2/catch.hpp>

#include "basin/linalg/errors.h"

using namespace basin;

namespace {

const std::vector<ParameterBlock> kBlocks = {
    {"E", {5, 3}}, {"b", {3}}, {"W", {2, 3, 4}}, {"head", {5, 3}, "E"}};

}  // namespace

TEST_CASE(
    "blocks stand one after another in the weights, trained ones in theta, tied ones where the other does") {
  const ParameterLayout layout(kBlocks, {"W", "E"});
  CHECK(layout.weight_count() == 15 + 3 + 24);
  CHECK(layout.theta_size() == 15 + 24);
  CHECK(layout.entries().size() == 3);
  CHECK(layout.find("W").offset == 18);
  CHECK(layout.find("W").theta_offset == 15);
  CHECK_FALSE(layout.find("b").trainable());
  CHECK(layout.trained() == std::vector<std::string>{"E", "W"});
  REQUIRE(layout.weight_slots().size() == 4);
  CHECK(layout.weight_slots()[3].offset == layout.weight_slots()[0].offset);
  CHECK(layout.theta_slots()[3].offset == 0);
  CHECK(layout.theta_slots()[1].offset < 0);

  Vector<double> weights = Vector<double>::LinSpaced(42, 0, 41);
  Vector<double> theta = layout.extract(weights);
  CHECK(theta[15] == 18);
  layout.insert<double>(-theta, weights);
  CHECK(weights[14] == -14);
  CHECK(weights[16] == 16);
  CHECK(weights[41] == -41);

  const BlockView<double> view(weights.data(), 1, weights.size(), layout.weight_slots());
  CHECK(view(2, 0, 1)(2, 3) == -41);
  view(3, 0, 0)(4, 2) = 7;
  CHECK(weights[14] == 7);
  CHECK(view.part(1, 2)(0, 0, 0)(0, 1) == 16);
}

TEST_CASE("layouts refuse what is no choice of blocks") {
  CHECK_THROWS_WITH(ParameterLayout(kBlocks, {}), "no trainable block: name at least one");
  CHECK_THROWS_WITH(ParameterLayout(kBlocks, {"W", "W"}), "trainable block 'W' is named twice");
  CHECK_THROWS_WITH(ParameterLayout(kBlocks, {"V"}), "unknown parameter block 'V'; the model has E, b, W");
  CHECK_THROWS_WITH(ParameterLayout(kBlocks, {"head"}),
                    "unknown parameter block 'head'; the model has E, b, W");
  CHECK_THROWS_WITH(ParameterLayout({{"E", {5, 3}}, {"E", {5, 3}}}, {"E"}),
                    "two parameter blocks are called E; give one of the layers, or what they are in, a name");
  CHECK_THROWS_WITH(ParameterLayout({{"E", {5, 3}}, {"head", {3, 5}, "E"}}, {"E"}),
                    "head is tied to E, which has another shape");
}

TEST_CASE("patterns stand for the blocks they fit") {
  const std::vector<ParameterBlock> blocks = {{"blocks.0.norm.g", {3}},
                                              {"blocks.0.mlp.W", {3, 3}},
                                              {"blocks.10.mlp.W", {3, 3}},
                                              {"head.W", {3, 5}},
                                              {"head.tied", {3, 5}, "head.W"}};
  using Names = std::vector<std::string>;
  CHECK(matching_blocks({"head.W"}, blocks) == Names{"head.W"});
  CHECK(matching_blocks({"*.W"}, blocks) == Names{"blocks.0.mlp.W", "blocks.10.mlp.W", "head.W"});
  CHECK(matching_blocks({"blocks.*0.*"}, blocks) ==
        Names{"blocks.0.norm.g", "blocks.0.mlp.W", "blocks.10.mlp.W"});
  CHECK(matching_blocks({"*.mlp.*", "blocks.0.*"}, blocks) ==
        Names{"blocks.0.mlp.W", "blocks.10.mlp.W", "blocks.0.norm.g"});  // each once
  CHECK(matching_blocks({"*"}, blocks).size() == 4);                     // a tied one is the other
  CHECK(matching_blocks({"head.W", "head.W"}, blocks).size() == 2);      // a slip, which the layout refuses
  for (const char* wrong : {"blocks.1.*", "W", "*.b", "head"})
    CHECK_THROWS_WITH(matching_blocks({wrong}, blocks),
                      std::string("unknown parameter block '") + wrong +
                          "'; the model has blocks.0.norm.g, blocks.0.mlp.W, blocks.10.mlp.W, head.W");
}
