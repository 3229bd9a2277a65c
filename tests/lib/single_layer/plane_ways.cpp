#include "basin/single_layer/plane_ways.h"

#include <omp.h>

#include <catch2/catch.hpp>

#include "basin/linalg/errors.h"
#include "support/cases.h"
#include "support/plane.h"
#include "support/two_layers.h"

using namespace basin;
using namespace basin::test;

namespace {

/// Two directions of the size of the weights, block by block.
Vectors<double> directions(const ModelPoint<double>& instance) {
  Vectors<double> d = random_vectors(instance.theta_size(), 2, 3);
  for (const auto& e : instance.parameters().entries()) {
    if (!e.trainable()) continue;
    const double size = instance.weights.segment(e.offset, e.block.size()).norm();
    for (Index j = 0; j < 2; ++j) {
      auto block = d.col(j).segment(e.theta_offset, e.block.size());
      block *= size / block.norm();
    }
  }
  return d;
}

std::unique_ptr<PlaneLoss> plane_of(const ModelPoint<double>& instance, const Grid& grid,
                                    PlaneOptions options) {
  const Vectors<double> d = directions(instance);
  return plane_loss(instance, d.col(0), d.col(1), grid, options);
}

Vector<double> all_losses(const std::unique_ptr<PlaneLoss>& plane) {
  std::vector<Index> all(plane->pieces().size());
  std::iota(all.begin(), all.end(), 0);
  return plane->losses(all);
}

/// Relative, but of small losses relative to the targets, which outputs of rounding size are compared with.
void check_same(const Vector<double>& found, const Vector<double>& expected, double size, double tolerance) {
  REQUIRE(found.size() == expected.size());
  for (Index i = 0; i < found.size(); ++i) {
    INFO("point " << i);
    CHECK(std::abs(found[i] - expected[i]) <= tolerance * std::max(expected[i], size));
  }
}

}  // namespace

TEST_CASE("a slice holds the losses of the plane, row = y, column = x") {
  Case c = {"slice", 70, 4, 5, 2, 3, 2};
  c.trainable = {"W_Q", "W_V"};
  const ModelPoint<double> instance = make_instance(c);
  const Index P = instance.theta_size();
  const Vector<double> u = random_vectors(P, 1, 1), v = random_vectors(P, 1, 2);
  const Grid grid{{-1, 2, 4}, {-0.3, 1, 3}};
  const auto plane = plane_loss(instance, u, v, grid, {.way = PlaneWay::plain});
  const Matrix<double> losses = loss_on_plane(*plane, grid);
  REQUIRE(losses.rows() == 3);
  REQUIRE(losses.cols() == 4);
  for (Index row = 0; row < 3; ++row)
    for (Index column = 0; column < 4; ++column) {
      const Vector<double> theta = instance.theta() + grid.x.at(column) * u + grid.y.at(row) * v;
      CHECK(losses(row, column) == instance.at(theta).linearize().loss());  // the same bits
    }
}

TEST_CASE("all ways give the losses of the plain one, for every shape and set of blocks") {
  const auto kind = GENERATE(KernelKind::softmax, KernelKind::gaussian);
  // Outputs are known to eps of scores, as scores themselves to eps of their size: 1e4 leaves 1e-12.
  for (Case c : hard_cases(kind)) {
    const bool large = c.score_scale > 1 || c.bandwidth == 1e-3;
    for (const auto& set : all_trainable_sets()) {
      c.trainable = set;
      INFO(describe(c));
      const ModelPoint<double> instance = make_instance(c);
      const double size = instance.data->Y.squaredNorm() / 2;
      const Grid grid{{-1, 1, 23}, {-0.7, 1, 3}};
      const Vector<double> expected = all_losses(plane_of(instance, grid, {.way = PlaneWay::plain}));
      const double tolerance = large ? 1e-9 : 1e-12;
      check_same(all_losses(plane_of(instance, grid, {.way = PlaneWay::structured})), expected, size,
                 tolerance);
      const auto automatic = plane_of(instance, grid, {});
      const bool values = set.front() != "W_Q" && set.front() != "W_K";
      CHECK((automatic->way() == "polynomial") == values);
      check_same(all_losses(automatic), expected, size, tolerance);
    }
  }
}

TEST_CASE("both ways agree to 1e-12 at every point of narrow and wide planes, several tiles and blocks") {
  const auto kind = GENERATE(KernelKind::softmax, KernelKind::gaussian);
  const double extent = GENERATE(1e-3, 1.0, 3.0, 10.0, 100.0);
  const auto [n, d_out] = GENERATE(table<Index, Index>({{70, 3}, {100, 17}, {8, 8}, {9, 1}}));
  const Case c = {"plane", 3, n, 12, 2, 6, d_out, kind};
  INFO(describe(c) << ", extent " << extent);
  const ModelPoint<double> instance = make_instance(c);
  const Grid grid{{-extent, extent, 41}, {-extent, extent, 5}};
  const Vector<double> expected = all_losses(plane_of(instance, grid, {.way = PlaneWay::plain}));
  check_same(all_losses(plane_of(instance, grid, {.way = PlaneWay::structured})), expected, 0, 1e-12);
}

TEST_CASE("bits depend neither on threads, nor on memory, nor on what is computed together") {
  const auto kind = GENERATE(KernelKind::softmax, KernelKind::gaussian);
  const Case c = {"plane", 5, 70, 6, 2, 3, 2, kind};
  const ModelPoint<double> instance = make_instance(c);
  const Grid grid{{-1, 1, 51}, {-1, 1, 3}};
  const PlaneOptions structured{.way = PlaneWay::structured};
  const Vector<double> expected = all_losses(plane_of(instance, grid, structured));
  const int before = omp_get_max_threads();
  for (const int threads : {1, 2, 7}) {
    omp_set_num_threads(threads);
    CHECK(all_losses(plane_of(instance, grid, structured)) == expected);
  }
  omp_set_num_threads(before);
  CHECK(all_losses(plane_of(instance, grid, {.way = PlaneWay::structured, .memory = 0})) == expected);
  const auto plane = plane_of(instance, grid, structured);
  Index at = 0;
  for (Index p = 0; p < static_cast<Index>(plane->pieces().size()); ++p) {
    const Vector<double> losses = plane->losses(std::vector<Index>{p});
    CHECK(losses == expected.segment(at, losses.size()));
    at += losses.size();
  }
}

TEST_CASE("losses that overflow are not finite in every way") {
  const auto kind = GENERATE(KernelKind::softmax, KernelKind::gaussian);
  const Case c = {"plane", 3, 4, 5, 2, 3, 2, kind};
  const ModelPoint<double> instance = make_instance(c);
  for (const PlaneWay way : {PlaneWay::plain, PlaneWay::structured}) {
    const Vector<double> losses =
        all_losses(plane_of(instance, {{-1e160, 1e160, 3}, {0, 0, 1}}, {.way = way}));
    CHECK_FALSE(std::isfinite(losses[0]));
    CHECK(std::isfinite(losses[1]));
    CHECK_FALSE(std::isfinite(losses[2]));
  }
}

TEST_CASE("losses that are tiny beside outputs and targets agree to the rounding of these") {
  const auto kind = GENERATE(KernelKind::softmax, KernelKind::gaussian);
  const double extent = GENERATE(1e-6, 1e-4, 1e-2, 1.0);
  const Case c = {"plane", 3, 20, 8, 2, 4, 3, kind};
  INFO(describe(c) << ", extent " << extent);
  ModelPoint<double> instance = make_instance(c);
  auto data = std::make_shared<Data<double>>(*instance.data);
  data->Y = instance.linearize().outputs();  // zero loss at the point
  instance.data = data;
  const Grid grid{{-extent, extent, 40}, {0.1 * extent, extent, 3}};
  const Vector<double> plain = all_losses(plane_of(instance, grid, {.way = PlaneWay::plain}));
  const Vector<double> found = all_losses(plane_of(instance, grid, {.way = PlaneWay::structured}));
  for (Index i = 0; i < plain.size(); ++i) {
    INFO("point " << i << ", loss " << plain[i]);
    const double size = data->Y.squaredNorm();  // and so are outputs, where the loss is tiny
    CHECK(std::abs(found[i] - plain[i]) <= 1e-12 * std::max(plain[i], std::sqrt(plain[i] * size)));
  }
}

TEST_CASE("the polynomial keeps the digits of losses near zero") {
  Case c = {"plane", 3, 4, 5, 2, 3, 2};
  c.trainable = {"W_V", "W_O"};
  ModelPoint<double> instance = make_instance(c);
  auto data = std::make_shared<Data<double>>(*instance.data);
  data->Y = instance.linearize().outputs();  // zero loss at the point
  instance.data = data;
  const Grid grid{{-1e-5, 1e-5, 31}, {0, 0, 1}};
  const Vector<double> plain = all_losses(plane_of(instance, grid, {.way = PlaneWay::plain}));
  const Vector<double> found = all_losses(plane_of(instance, grid, {.way = PlaneWay::polynomial}));
  CHECK(found[15] <= 1e-28 * data->Y.squaredNorm());
  for (const Index i : {0, 7, 23, 30}) CHECK(found[i] == Approx(plain[i]).epsilon(1e-9));
}

TEST_CASE("what does not fit is refused, and ways are chosen by their cost") {
  Case c = {"plane", 3, 40, 64, 2, 16, 2};
  const ModelPoint<double> instance = make_instance(c);
  const Vector<double> u = Vector<double>::Ones(3);
  CHECK_THROWS_AS(plane_loss(instance, u, u, Grid{}), InputError);
  CHECK_THROWS_AS(plane_of(instance, {}, {.way = PlaneWay::polynomial}), InputError);
  CHECK(plane_of(instance, {}, {})->way() == "plain");  // a single point
  const Grid grid{{-1, 1, 51}, {-1, 1, 51}};
  CHECK(plane_of(instance, grid, {})->way() == "structured");
  CHECK(plane_of(instance, grid, {.memory = 1000})->way() == "plain");
}

TEST_CASE("a plane of another network has the plain way alone") {
  const ModelPoint<double> instance = two_layers();
  const Vectors<double> d = directions(instance);
  const Grid grid{{-1, 1, 51}, {-1, 1, 51}};
  const auto plane = plane_loss(instance, d.col(0), d.col(1), grid);
  CHECK(plane->way() == "plain");
  const Matrix<double> losses = loss_on_plane(*plane, grid);
  CHECK(losses(25, 25) == instance.linearize().loss());
  CHECK(losses(50, 0) == instance.at(instance.theta() - d.col(0) + d.col(1)).linearize().loss());
  for (const PlaneWay way : {PlaneWay::structured, PlaneWay::polynomial})
    CHECK_THROWS_WITH(plane_of(instance, grid, {.way = way}),
                      Catch::Contains("known for a single attention layer"));
}
