#include "basin/landscape/plane_loss.h"

#include <omp.h>

#include <numeric>

#include "basin/model/labels.h"
#include "support/deep_network.h"

using namespace basin;
using namespace basin::test;

namespace {

const Grid kGrid{{-1, 2, 4}, {-0.3, 1, 3}};

/// Zero on all but some blocks.
Vector<double> direction(const ModelPoint<double>& point, const std::vector<std::string>& patterns,
                         int seed) {
  const Vector<double> all = random_vectors(point.theta_size(), 1, seed);
  Vector<double> some = Vector<double>::Zero(point.theta_size());
  for (const std::string& name : matching_blocks(patterns, blocks(point.model->architecture()))) {
    const auto& e = point.parameters().find(name);
    some.segment(e.theta_offset, e.block.size()) = all.segment(e.theta_offset, e.block.size());
  }
  return some;
}

Vector<double> all_losses(PlaneLoss& plane) {
  std::vector<Index> all(plane.pieces().size());
  std::iota(all.begin(), all.end(), 0);
  return plane.losses(all);
}

}  // namespace

TEST_CASE("losses and accuracies of a deep network are those of its points, bit for bit") {
  const ModelPoint<double> point = deep_classifier();
  const int threads_before = omp_get_max_threads();
  struct Blocks {
    std::vector<std::string> u, v;
    std::size_t fixed;
  };
  for (const Blocks& moving : std::vector<Blocks>{{{"*"}, {"*"}, 0},
                                                  {{"blocks.2.attention.*"}, {"blocks.2.mlp.*"}, 7},
                                                  {{"head.*"}, {"head.b"}, 10}}) {
    const Vector<double> u = direction(point, moving.u, 1), v = direction(point, moving.v, 2);
    // memory for everything; for one point at once; for nothing
    for (const std::size_t memory : {std::size_t{1} << 30U, 16 * point.weights.size() + 2000UL, 0UL})
      for (const int threads : {1, 3}) {
        omp_set_num_threads(threads);
        PlainPlane plane(point, u, v, kGrid, memory, true);
        CHECK(plane.point_losses().forward().fixed_stages() == moving.fixed);
        CHECK((plane.point_losses().points_at_once() == 1) == (memory < 1 << 20U));
        const Vector<double> losses = all_losses(plane);
        REQUIRE(losses.size() == 12);
        REQUIRE(plane.accuracies().size() == 12);
        for (Index i = 0; i < 12; ++i) {
          const ModelPoint<double> x =
              point.at(point.theta() + kGrid.x.at(i % 4) * u + kGrid.y.at(i / 4) * v);
          CHECK(plane.weights_at(kGrid.x.at(i % 4), kGrid.y.at(i / 4)) == x.weights);
          const Linearization<double> at = x.linearize();
          CHECK(losses[i] == at.loss());
          CHECK(plane.accuracies()[i] == accuracy(at, *x.data));
        }
      }
  }
  omp_set_num_threads(threads_before);
}

TEST_CASE("accuracies are NaN where outputs overflow, and there are none unasked") {
  const ModelPoint<double> point = deep_classifier({"head.*"});
  const Vector<double> u = direction(point, {"head.W"}, 1), none = Vector<double>::Zero(point.theta_size());
  const Grid far{{0, 1e308, 2}, {0, 0, 1}};
  PlainPlane plane(point, 1e3 * u, none, far, std::size_t{1} << 20U, true);
  all_losses(plane);
  CHECK_FALSE(std::isnan(plane.accuracies()[0]));
  CHECK(std::isnan(plane.accuracies()[1]));
  PlainPlane silent(point, u, none, far);
  all_losses(silent);
  CHECK(silent.accuracies().size() == 0);
}

TEST_CASE("a parameter of the single layer that is a product of others moves with them") {
  Case c = {"plane", 70, 4, 5, 2, 3, 2};  // two chunks
  const ModelPoint<double> point = make_instance(c);
  const Vector<double> u = direction(point, {"W_Q"}, 1), v = direction(point, {"W_V", "W_O"}, 2);
  PlainPlane plane(point, u, v, kGrid);
  const Vector<double> losses = all_losses(plane);
  for (Index i = 0; i < 12; ++i)
    CHECK(losses[i] ==
          point.at(point.theta() + kGrid.x.at(i % 4) * u + kGrid.y.at(i / 4) * v).linearize().loss());
}
