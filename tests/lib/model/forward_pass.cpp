#include "basin/model/forward_pass.h"

#include "basin/linalg/tree_sum.h"
#include "support/deep_network.h"

using namespace basin;
using namespace basin::test;

namespace {

constexpr Index kChunkRows = 12;  // four samples: three chunks, the last one shorter

double loss_of(const ForwardPass<double>& forward, const Vector<double>& weights,
               ForwardPass<double>::Workspace& work) {
  std::vector<double> parts;
  for (Index c = 0; c < forward.chunks(); ++c)
    parts.push_back(forward.loss(c, forward.outputs(c, weights, work)));
  return tree_sum<double>(parts);
}

/// What the rules take.
Vector<double> network_weights(const ModelPoint<double>& x) {
  Vector<double> made;
  return x.model->network_weights(x.weights, made);
}

/// The point moved in its trained blocks, some times.
std::vector<ModelPoint<double>> moved(const ModelPoint<double>& point) {
  std::vector<ModelPoint<double>> all;
  for (const double t : {0.0, 0.3, -1.0})
    all.push_back(point.at(point.theta() + t * random_vectors(point.theta_size(), 1, 7)));
  return all;
}

}  // namespace

TEST_CASE("what nothing moves before is evaluated once, and the bits are those of the whole network") {
  const std::size_t chunk = 4 * 4 * 4 * sizeof(double);  // what a chunk gives between layers
  struct Expected {
    std::vector<std::string> moving;
    std::size_t fixed;
    bool tied = false;
  };
  for (const Expected& expected : std::vector<Expected>{{{"*"}, 0},
                                                        {{"positions.Pos"}, 1},
                                                        {{"blocks.1.attention.W_V", "head.b"}, 5},
                                                        {{"blocks.2.mlp.*"}, 8},
                                                        {{"head.*"}, 10},
                                                        {{"embedding.E"}, 0, true},
                                                        {{"blocks.2.*"}, 7, true}}) {
    const ModelPoint<double> point = deep_classifier(expected.moving, expected.tied);
    INFO(joined(expected.moving));
    for (const std::size_t memory : {std::size_t{0}, chunk, std::size_t{1} << 20U}) {
      const ForwardPass<double> forward(point, point.model->network_parameters().theta_slots(), memory,
                                        kChunkRows);
      CHECK(forward.fixed_stages() == expected.fixed);
      REQUIRE(forward.chunks() == 3);
      if (expected.fixed == 0 || memory == 0) CHECK(forward.kept_chunks() == 0);
      if (expected.fixed > 0 && memory > chunk) CHECK(forward.kept_chunks() == 3);
      ForwardPass<double>::Workspace work;
      for (const ModelPoint<double>& x : moved(point)) {
        const Linearization<double> at = x.linearize({.chunk_rows = kChunkRows});
        CHECK(loss_of(forward, network_weights(x), work) == at.loss());
        for (Index c = 0; c < 3; ++c) {
          const auto& F = forward.outputs(c, network_weights(x), work);
          CHECK(F[0] == at.outputs().middleRows(forward.first_row(c), F.rows()));
        }
      }
    }
  }
}

TEST_CASE("of memory for one chunk, one is kept") {
  const ModelPoint<double> point = deep_classifier({"blocks.2.*"});
  const std::size_t chunk = 4 * 4 * 4 * sizeof(double);
  const ForwardPass<double> forward(point, point.model->network_parameters().theta_slots(), chunk,
                                    kChunkRows);
  CHECK(forward.kept_chunks() == 1);
}

TEST_CASE("a network of which nothing moves is evaluated from its last layer") {
  const ModelPoint<double> point = deep_classifier();
  const std::vector<BlockSlot> none(point.model->network().blocks().size(), BlockSlot{-1, 0, 0});
  const ForwardPass<double> forward(point, none, 1 << 20U, kChunkRows);
  CHECK(forward.fixed_stages() == 10);
  ForwardPass<double>::Workspace work;
  CHECK(loss_of(forward, network_weights(point), work) == point.linearize({.chunk_rows = kChunkRows}).loss());
}
