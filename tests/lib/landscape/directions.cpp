#include "basin/landscape/directions.h"

#include <catch2/catch.hpp>

#include "basin/linalg/errors.h"
#include "support/cases.h"
#include "support/deep_network.h"
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

TEST_CASE("directions of another network: all but those of a gauge") {
  const ModelPoint<double> point = test::two_layers();
  Random random(1, "direction");
  const Vector<double> theta = point.theta();
  CHECK(random_direction(point, Normalisation::filter, random).norm() == Approx(theta.norm()));
  CHECK(random_direction(point, Normalisation::block, random).norm() == Approx(theta.norm()));
  CHECK_THROWS_WITH(random_direction(point, Normalisation::gauge, random),
                    "normalisation gauge: no canonical gauge of this network is known");
}

TEST_CASE("filters of a network: output units of maps, rows of tables, biases and gains as a whole") {
  const ModelPoint<double> point = test::deep_classifier();
  Random random(1, "direction");
  const Vector<double> raw = random_direction(point, Normalisation::none, random);
  Vector<double> direction = raw;
  normalise(point, Normalisation::filter, direction);
  const auto part = [&](const Vector<double>& of, const std::string& name, bool theta, Index first,
                        Index count, Index stride) {
    const auto& e = point.parameters().find(name);
    Vector<double> numbers(count);
    for (Index i = 0; i < count; ++i)
      numbers[i] = of[(theta ? e.theta_offset : e.offset) + first + i * stride];
    return numbers;
  };
  const auto check = [&](const std::string& name, Index first, Index count, Index stride) {
    INFO(name << " from " << first);
    const Vector<double> moved = part(direction, name, true, first, count, stride);
    CHECK(moved.norm() ==
          Approx(part(point.weights, name, false, first, count, stride).norm()).epsilon(1e-14));
    CHECK(cosine(moved, part(raw, name, true, first, count, stride)) == Approx(1));
  };
  for (Index unit = 0; unit < 6; ++unit) check("blocks.1.mlp.in.W", unit, 4, 6);  // (4, 6): a column
  for (Index h = 0; h < 2; ++h)
    for (Index unit = 0; unit < 3; ++unit) check("blocks.0.attention.W_Q", 12 * h + unit, 4, 3);  // (2, 4, 3)
  for (Index unit = 0; unit < 4; ++unit)
    check("blocks.2.attention.W_O", unit, 6, 4);  // (2, 3, 4): heads add up
  for (Index row = 0; row < 5; ++row) check("embedding.E", 4 * row, 4, 1);
  for (Index row = 0; row < 4; ++row) check("positions.Pos", 4 * row, 4, 1);
  check("class-token.token", 0, 4, 1);
  check("blocks.0.attention.b_Q", 0, 6, 1);
  check("blocks.0.norm1.g", 0, 4, 1);
  check("blocks.0.norm1.beta", 0, 4, 1);
  CHECK(direction.norm() == Approx(point.theta().norm()));
}

TEST_CASE("orthogonalised directions are orthogonal; parallel ones are refused") {
  Vector<double> u{{1, 2, 3}}, v{{3, 2, 1 + 1e-5}};
  const Vector<double> w = orthogonalised(v, u);
  CHECK(std::abs(cosine(w, u)) < 1e-15);
  CHECK_THROWS_AS(orthogonalised(3 * u, u), InputError);
  CHECK_THROWS_AS(orthogonalised(v, 0 * u), InputError);
  CHECK(cosine(u, 0 * u) == 0);
}
