#include "basin/landscape/directions.h"

#include <catch2/catch.hpp>

#include "basin/curvature/symmetries.h"
#include "basin/linalg/errors.h"
#include "support/cases.h"
#include "support/plane.h"
#include "support/two_layers.h"

using namespace basin;

namespace {

/// W_Q (2, 3, 4) and W_O (2, 4, 1) trained, with W_Q[0, 1, :] = 0.
ModelPoint<double> some_point() {
  test::Case c = {"directions", 2, 3, 3, 2, 4, 1};
  c.trainable = {"W_Q", "W_O"};
  ModelPoint<double> point = test::make_instance(c);
  point.weights.segment(4, 4).setZero();
  return point;
}

}  // namespace

TEST_CASE("filter normalisation gives every filter the norm of the weights' filter") {
  const ModelPoint<double> point = some_point();
  const Vector<double> theta = point.theta();
  Random random(1, "direction");
  const Vector<double> direction = random_direction(point, Normalisation::filter, random);
  REQUIRE(direction.size() == 24 + 8);
  for (Index filter = 0; filter < 6; ++filter)
    CHECK(direction.segment(4 * filter, 4).norm() ==
          Approx(theta.segment(4 * filter, 4).norm()).margin(1e-15));
  for (Index i = 24; i < 32; ++i) CHECK(std::abs(direction[i]) == Approx(std::abs(theta[i])));
  CHECK(direction.segment(4, 4).isZero(0));
  CHECK_FALSE(random_direction(point, Normalisation::filter, random).isApprox(direction));  // another
}

TEST_CASE("block and vector normalisation; none") {
  const ModelPoint<double> point = some_point();
  const Vector<double> theta = point.theta();
  Random random(1, "direction");
  const Vector<double> plain = random_direction(point, Normalisation::none, random);
  Vector<double> block = plain, whole = plain;
  normalise(point, Normalisation::block, block);
  normalise(point, Normalisation::vector, whole);
  CHECK(block.head(24).norm() == Approx(theta.head(24).norm()));
  CHECK(block.tail(8).norm() == Approx(theta.tail(8).norm()));
  CHECK(cosine(block.head(24), plain.head(24)) == Approx(1));
  CHECK(whole.norm() == Approx(theta.norm()));
  CHECK(cosine(whole, plain) == Approx(1));
  for (const char* name : {"none", "filter", "block", "vector", "gauge"})
    CHECK(normalisation_name(normalisation_from_name(name)) == name);
  CHECK_THROWS_WITH(normalisation_from_name("layer"), Catch::Contains("expected one of none, filter"));
}

TEST_CASE("directions of another network: all but gauge and symmetry") {
  const ModelPoint<double> point = test::two_layers();
  Random random(1, "direction");
  const Vector<double> theta = point.theta();
  CHECK(random_direction(point, Normalisation::filter, random).norm() == Approx(theta.norm()));
  CHECK(random_direction(point, Normalisation::block, random).norm() == Approx(theta.norm()));
  CHECK_THROWS_WITH(random_direction(point, Normalisation::gauge, random),
                    Catch::Contains("known for a single attention layer"));
  CHECK_THROWS_AS(flat_direction(point, random), InputError);
}

TEST_CASE("orthogonalised directions are orthogonal; parallel ones are refused") {
  Vector<double> u{{1, 2, 3}}, v{{3, 2, 1 + 1e-5}};
  const Vector<double> w = orthogonalised(v, u);
  CHECK(std::abs(cosine(w, u)) < 1e-15);
  CHECK_THROWS_AS(orthogonalised(3 * u, u), InputError);
  CHECK_THROWS_AS(orthogonalised(v, 0 * u), InputError);
  CHECK(cosine(u, 0 * u) == 0);
}

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
    Symmetries(instance).project(u, inside);
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
