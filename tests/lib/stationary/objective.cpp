#include "stationary/objective.h"

#include <catch2/catch.hpp>

#include "linalg/errors.h"
#include "support/cases.h"

using namespace basin;
using namespace basin::test;

TEST_CASE("the loss alone has the bits of the loss with its gradient, products are those of the last point") {
  for (const KernelKind kind : {KernelKind::softmax, KernelKind::gaussian})
    for (Case c : hard_cases(kind)) {
      c.trainable = {"W_K", "W_O"};
      CAPTURE(describe(c));
      const Instance<double> instance = make_instance(c);
      ModelObjective f(instance.model, instance.weights, instance.data);
      const Vector<double> theta = instance.theta() * 1.01;
      const auto point = f.at(theta);
      REQUIRE(point);
      CHECK(f.loss(theta) == point->loss);
      const auto there = instance.at(theta);
      CHECK(f.weights_at(theta) == there.weights);
      const Linearization<double> expected = there.linearize();
      CHECK(point->gradient == expected.gradient());
      const Vectors<double> V = random_vectors(f.size(), 2, 1);
      Vectors<double> HV(f.size(), 2), expected_HV(f.size(), 2);
      f.loss(instance.theta());  // does not move the point of products
      f.hessian(V, HV);
      expected.hessian(V, expected_HV);
      CHECK(HV == expected_HV);
      CHECK(f.counts().losses == 2);
      CHECK(f.counts().gradients == 1);
      CHECK(f.counts().products == 2);
    }
}

TEST_CASE("where the arithmetic overflows there is no point") {
  const Instance<double> instance = make_instance({"overflow", 2, 3, 4, 2, 3, 2});
  ModelObjective f(instance.model, instance.weights, instance.data);
  CHECK_FALSE(f.at(instance.theta() * 1e200));
  CHECK_FALSE(f.at(instance.theta() * std::nan("")));
  CHECK_FALSE(std::isfinite(f.loss(instance.theta() * 1e200)));
  CHECK(f.at(instance.theta()));
}
