#include "landscape/directions.h"

#include <catch2/catch.hpp>

#include "curvature/symmetries.h"
#include "linalg/errors.h"
#include "support/cases.h"
#include "support/plane.h"

using namespace basin;

namespace {

const ParameterLayout kLayout({{"W_Q", {2, 3, 4}}, {"frozen", {5}}, {"W_O", {2, 4, 1}}}, {"W_Q", "W_O"});

Vector<double> some_weights() {
  Vector<double> weights(kLayout.weight_count());
  Random(1, "test").fill_normal(weights);
  weights.segment(4, 4).setZero();  // W_Q[0, 1, :]
  return weights;
}

}  // namespace

TEST_CASE("filter normalisation gives every filter the norm of the weights' filter") {
  const Vector<double> weights = some_weights();
  Random random(1, "direction");
  const Vector<double> direction = random_direction({}, kLayout, weights, Normalisation::filter, random);
  REQUIRE(direction.size() == 24 + 8);
  for (Index filter = 0; filter < 6; ++filter)
    CHECK(direction.segment(4 * filter, 4).norm() ==
          Approx(weights.segment(4 * filter, 4).norm()).margin(1e-15));
  for (Index i = 0; i < 8; ++i) CHECK(std::abs(direction[24 + i]) == Approx(std::abs(weights[24 + 5 + i])));
  CHECK(direction.segment(4, 4).isZero(0));
  CHECK_FALSE(  // the next is another
      random_direction({}, kLayout, weights, Normalisation::filter, random).isApprox(direction));
}

TEST_CASE("block and vector normalisation; none") {
  const Vector<double> weights = some_weights();
  Random random(1, "direction");
  const Vector<double> plain = random_direction({}, kLayout, weights, Normalisation::none, random);
  Vector<double> block = plain, whole = plain;
  normalise({}, kLayout, weights, Normalisation::block, block);
  normalise({}, kLayout, weights, Normalisation::vector, whole);
  CHECK(block.head(24).norm() == Approx(weights.head(24).norm()));
  CHECK(block.tail(8).norm() == Approx(weights.tail(8).norm()));
  CHECK(cosine(block.head(24), plain.head(24)) == Approx(1));
  CHECK(whole.norm() == Approx(kLayout.extract(weights).norm()));
  CHECK(cosine(whole, plain) == Approx(1));
  for (const char* name : {"none", "filter", "block", "vector", "gauge"})
    CHECK(normalisation_name(normalisation_from_name(name)) == name);
  CHECK_THROWS_WITH(normalisation_from_name("layer"), Catch::Contains("expected one of none, filter"));
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
    const ParameterLayout& layout = instance.model->parameters();
    Random x(1, "x"), y(1, "y");
    const auto u = flat_direction(c.spec(), layout, instance.weights, *instance.data, x);
    const auto v = flat_direction(c.spec(), layout, instance.weights, *instance.data, y);
    const auto has = [&](const char* block) { return layout.find(block).trainable(); };
    const bool expected =
        (kind == KernelKind::softmax && has("W_Q") && has("W_K")) || (has("W_V") && has("W_O"));
    REQUIRE((u.norm() > 0) == expected);
    if (!expected) continue;
    Vectors<double> inside(u.size(), 1);
    Symmetries(c.spec(), layout, instance.weights, *instance.data).project(u, inside);
    CHECK((inside - u).norm() <= 1e-12 * u.norm());
    for (const PlaneWay way : {PlaneWay::plain, PlaneWay::structured}) {
      const Grid grid{{-2, 2, 9}, {-2, 2, 5}};
      PlaneEvaluator plane(c.spec(), instance.model, instance.weights, instance.data, u, v, grid,
                           {.way = way});
      const Matrix<double> losses = test::loss_on_plane(plane, grid);
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
    const ParameterLayout& layout = instance.model->parameters();
    Random x(1, "x"), y(1, "y");
    const auto u = flat_direction(c.spec(), layout, instance.weights, *instance.data, x);
    const auto v = flat_direction(c.spec(), layout, instance.weights, *instance.data, y);
    REQUIRE(u.norm() > 0);
    const Grid grid{{-2, 2, 5}, {-2, 2, 5}};
    PlaneEvaluator plane(c.spec(), instance.model, instance.weights, instance.data, u, v, grid,
                         {.way = PlaneWay::plain});
    const Matrix<double> losses = test::loss_on_plane(plane, grid);
    CHECK(losses.maxCoeff() - losses.minCoeff() <= 1e-12 * losses.maxCoeff());
  }
}
