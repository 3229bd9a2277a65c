#include "basin/network/stages.h"

#include "basin/network/layer_types.h"
#include "support/deep_network.h"

using namespace basin;
using namespace basin::test;

TEST_CASE("chains and repetitions are opened, other layers are not; copies are of one kind") {
  const ModelPoint<double> point = deep_classifier();
  const auto all = stages(point.model->network());
  // embedding, positions, class token, three times two residuals, pool, head
  REQUIRE(all.size() == 11);
  const auto blocks = point.model->network().blocks();
  std::size_t first = 0;
  for (const auto& stage : all) {
    CHECK(stage.first_block == first);
    first += stage.blocks;
  }
  CHECK(first == blocks.size());
  CHECK(blocks[all[5].first_block].name == "blocks.1.norm1.g");
  CHECK(blocks[all[8].first_block].name == "blocks.2.mlp.norm.g");
  std::vector<std::size_t> kinds;
  for (const auto& stage : all) kinds.push_back(stage.kind);
  CHECK(kinds == std::vector<std::size_t>{0, 1, 2, 3, 4, 3, 4, 3, 4, 5, 6});
}

TEST_CASE("a layer alone is one stage") {
  const auto alone = make_layer<double>({"linear", {{"outputs", Index{2}}}}, {3, 4});
  const auto all = stages(*alone);
  REQUIRE(all.size() == 1);
  CHECK(all[0].layer == alone.get());
  CHECK(all[0].blocks == 2);
}
