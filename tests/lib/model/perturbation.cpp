#include "basin/model/perturbation.h"

#include <catch2/catch.hpp>
#include <limits>

#include "support/cases.h"

using namespace basin;
using namespace basin::test;

TEST_CASE("a perturbed point differs by one to two relative eps in every number, always the same way") {
  const ModelPoint<double> instance = make_instance({"perturbation", 5, 4, 6, 2, 3, 2});
  const ModelPoint<double> other = instance.perturbed(0), again = instance.perturbed(0);
  CHECK(other.weights == again.weights);
  CHECK(other.data->X == again.data->X);
  const double eps = std::numeric_limits<double>::epsilon();
  const auto check = [&](const auto& a, const auto& b) {
    Index up = 0;
    for (Index i = 0; i < a.size(); ++i) {
      const double relative = b.data()[i] / a.data()[i] - 1;
      CHECK(std::abs(relative) > 0);
      CHECK(std::abs(relative) <= 3 * eps);  // the sum is rounded again
      up += relative > 0 ? 1 : 0;
    }
    CHECK(up > a.size() / 4);
    CHECK(up < 3 * a.size() / 4);
  };
  check(instance.weights, other.weights);
  check(instance.data->X, other.data->X);
  check(instance.data->Y, other.data->Y);
}
