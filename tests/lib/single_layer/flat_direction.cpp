#include "basin/single_layer/flat_direction.h"

#include <catch2/catch.hpp>

#include "basin/linalg/errors.h"
#include "basin/single_layer/attention_symmetries.h"
#include "basin/single_layer/gauge.h"
#include "support/cases.h"
#include "support/plane.h"
#include "support/two_layers.h"

using namespace basin;

TEST_CASE("the loss is constant on planes of symmetry, and they lie in the tangents of the symmetries") {
  const auto kind = GENERATE(KernelKind::softmax, KernelKind::gaussian);
  test::Case c = {"flat", 5, 4, 6, 2, 5, 3, kind};
  for (const auto& set : test::all_trainable_sets()) {
    c.trainable = set;
    INFO(test::describe(c));
    const auto instance = test::make_instance(c);
    Random x(1, "x"), y(1, "y");
    const auto u = flat_direction(instance, x);
    const auto v = flat_direction(instance, y);
    const auto has = [&](const char* block) { return instance.parameters().find(block).trainable(); };
    const bool expected =
        (kind == KernelKind::softmax && has("W_Q") && has("W_K")) || (has("W_V") && has("W_O"));
    REQUIRE((u.norm() > 0) == expected);
    if (!expected) continue;
    Vectors<double> inside(u.size(), 1);
    attention_symmetries(instance).project(u, inside);
    CHECK((inside - u).norm() <= 1e-12 * u.norm());
    for (const PlaneWay way : {PlaneWay::plain, PlaneWay::structured}) {
      const Grid grid{{-2, 2, 9}, {-2, 2, 5}};
      const auto plane = plane_loss(instance, u, v, grid, {.way = way});
      const Matrix<double> losses = test::loss_on_plane(*plane, grid);
      CHECK(losses.maxCoeff() - losses.minCoeff() <= 1e-12 * losses.maxCoeff());
    }
  }
}

TEST_CASE("features that the data leave free are flat where there is no gauge") {
  const auto kind = GENERATE(KernelKind::softmax, KernelKind::gaussian);
  test::Case c = {"free", 2, 3, 8, 2, 4, 2, kind};  // six tokens in eight dimensions
  for (const std::vector<std::string>& set :
       {std::vector<std::string>{"W_Q", "W_K"}, {"W_Q"}, {"W_K"}, {"W_V"}}) {
    c.trainable = set;
    INFO(test::describe(c));
    const auto instance = test::make_instance(c);
    Random x(1, "x"), y(1, "y");
    const auto u = flat_direction(instance, x);
    const auto v = flat_direction(instance, y);
    REQUIRE(u.norm() > 0);
    const Grid grid{{-2, 2, 5}, {-2, 2, 5}};
    const auto plane = plane_loss(instance, u, v, grid, {.way = PlaneWay::plain});
    const Matrix<double> losses = test::loss_on_plane(*plane, grid);
    CHECK(losses.maxCoeff() - losses.minCoeff() <= 1e-12 * losses.maxCoeff());
  }
}

TEST_CASE("of another network neither symmetries nor a gauge are known, and that is said") {
  const ModelPoint<double> point = test::two_layers();
  Random random(1, "direction");
  CHECK_THROWS_WITH(flat_direction(point, random), Catch::Contains("known for a single attention layer"));
  CHECK_THROWS_WITH(random_direction(point, Normalisation::gauge, random, canonical_gauge),
                    Catch::Contains("known for a single attention layer"));
}
