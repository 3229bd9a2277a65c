#include "basin/problem/known_minimum.h"

#include <catch2/catch.hpp>

#include "basin/problem/constructions.h"

using namespace basin;

TEST_CASE("where a minimum is said to be attained: other blocks are the point's; not for another kernel") {
  const Construction c = construction("softmax-trap");
  const KnownMinimum& known = c.minimum(KernelKind::softmax);
  AttentionSpec spec = c.problem.spec(c.problem.network, 1, 1);
  ModelPoint<double> point = {build_single_attention<double>(spec, {"W_Q"}),
                              c.problem.network.weights->values,
                              std::make_shared<Data<double>>(c.problem.data)};
  const auto at = attaining_weights(known, point);
  REQUIRE(at);
  for (const auto& e : point.parameters().entries()) {
    const auto block = known.blocks.find(e.block.name);
    const Vector<double> expected = block == known.blocks.end()
                                        ? Vector<double>(point.weights.segment(e.offset, e.block.size()))
                                        : block->second;
    CHECK(at->segment(e.offset, e.block.size()) == expected);
  }
  KnownMinimum other = known;
  other.head_dim = 2;
  CHECK_FALSE(attaining_weights(other, point));
  spec.kernel = KernelKind::gaussian;
  point.model = build_single_attention<double>(spec, {"W_Q"});
  CHECK_FALSE(attaining_weights(known, point));
  // a bandwidth that is not said is the default one
  KnownMinimum gaussian = c.minimum(KernelKind::gaussian);
  gaussian.bandwidth = 0;
  CHECK(attaining_weights(gaussian, point));
  gaussian.bandwidth = 2 * spec.sigma();
  CHECK_FALSE(attaining_weights(gaussian, point));
}
