#include "landscape/directions.h"

#include <catch2/catch.hpp>

using namespace basin;

TEST_CASE("filter normalisation gives every filter the norm of the weights' filter") {
  const ParameterLayout layout({{"W_Q", {2, 3, 4}}, {"frozen", {5}}, {"W_O", {2, 4, 1}}}, {"W_Q", "W_O"});
  Vector<double> weights(layout.weight_count());
  Random random(1, "test");
  random.fill_normal(weights);
  weights.segment(4, 4).setZero();  // W_Q[0, 1, :]
  const Vector<double> direction = random_filter_direction(layout, weights, random);
  REQUIRE(direction.size() == 24 + 8);
  for (Index filter = 0; filter < 6; ++filter)
    CHECK(direction.segment(4 * filter, 4).norm() ==
          Approx(weights.segment(4 * filter, 4).norm()).margin(1e-15));
  for (Index i = 0; i < 8; ++i) CHECK(std::abs(direction[24 + i]) == Approx(std::abs(weights[24 + 5 + i])));
  CHECK(direction.segment(4, 4).isZero(0));
  CHECK_FALSE(random_filter_direction(layout, weights, random).isApprox(direction));  // the next is another
}
