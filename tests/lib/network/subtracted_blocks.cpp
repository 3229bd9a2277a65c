#include "basin/network/subtracted_blocks.h"

#include <algorithm>
#include <catch2/catch.hpp>

#include "support/example_layers.h"

using namespace basin;
using namespace basin::test;

TEST_CASE(
    "queries and keys of Gaussian attention are subtracted, by the names that the network has for them") {
  add_example_layers();
  const auto attention = [](const char* kernel, const char* name) {
    return LayerDescription{
        "attention",
        {{"heads", Index{1}}, {"head-dim", Index{2}}, {"outputs", Index{6}}, {"kernel", kernel}},
        name};
  };
  Architecture a = {.input = {3, 6}, .layers = {attention("gaussian", "")}};
  using Pairs = std::vector<std::pair<std::string, std::string>>;
  CHECK(subtracted_blocks(a) == Pairs{{"W_Q", "W_K"}});
  a.layers[0] = attention("softmax", "");
  CHECK(subtracted_blocks(a).empty());
  a.layers = {attention("gaussian", "first"),
              {"test-residual",
               {},
               "r",
               {attention("softmax", ""), {"test-residual", {}, "", {attention("gaussian", "x")}}}},
              {"test-residual", {}, "s", {attention("gaussian", "")}}};
  CHECK(subtracted_blocks(a) ==
        Pairs{{"first.W_Q", "first.W_K"}, {"r.x.W_Q", "r.x.W_K"}, {"s.attention.W_Q", "s.attention.W_K"}});
  std::vector<std::string> names;
  for (const ParameterBlock& block : blocks(a)) names.push_back(block.name);
  for (const auto& [first, second] : subtracted_blocks(a))
    for (const std::string& name : {first, second}) CHECK(std::count(names.begin(), names.end(), name) == 1);
}
