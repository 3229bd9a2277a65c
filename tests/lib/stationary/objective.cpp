#include "basin/stationary/objective.h"

#include <catch2/catch.hpp>

#include "basin/linalg/errors.h"
#include "basin/single_layer/natural_length.h"
#include "support/cases.h"

using namespace basin;
using namespace basin::test;

TEST_CASE("the loss alone has the bits of the loss with its gradient, products are those of the last point") {
  for (const KernelKind kind : {KernelKind::softmax, KernelKind::gaussian})
    for (Case c : hard_cases(kind)) {
      c.trainable = {"W_K", "W_O"};
      CAPTURE(describe(c));
      const ModelPoint<double> instance = make_instance(c);
      ModelObjective f(instance);
      const Vector<double> theta = instance.theta() * 1.01;
      const auto point = f.at(theta);
      REQUIRE(point);
      CHECK(f.loss(theta) == point->loss);
      const auto there = instance.at(theta);
      CHECK(f.point_at(theta).weights == there.weights);
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

TEST_CASE("where it is already, a function is not evaluated again") {
  const ModelPoint<double> instance = make_instance({"again", 2, 3, 4, 2, 3, 2});
  ModelObjective f(instance);
  const Vector<double> theta = instance.theta(), other = 1.5 * theta;
  const std::optional<Iterate> first = f.at(theta), again = f.at(theta);
  REQUIRE((first && again));
  CHECK(f.counts().gradients == 1);
  CHECK(again->theta == theta);
  CHECK(again->loss == first->loss);
  CHECK(again->gradient == first->gradient);
  CHECK(first->gradient.norm() > 0);
  CHECK(f.at(other)->gradient != first->gradient);
  CHECK(f.at(theta)->gradient == first->gradient);
  CHECK(f.counts().gradients == 3);
  CHECK_FALSE(f.at(theta * 1e200));
  CHECK(f.at(theta)->gradient == first->gradient);  // there is nothing to know after that
  CHECK(f.counts().gradients == 5);
}

TEST_CASE("where the arithmetic overflows there is no point") {
  const ModelPoint<double> instance = make_instance({"overflow", 2, 3, 4, 2, 3, 2});
  ModelObjective f(instance);
  CHECK_FALSE(f.at(instance.theta() * 1e200));
  CHECK_FALSE(f.at(instance.theta() * std::nan("")));
  CHECK_FALSE(std::isfinite(f.loss(instance.theta() * 1e200)));
  CHECK(f.at(instance.theta()));
}

TEST_CASE("lengths and gradients go with the units of data and weights, exactly for powers of two") {
  for (const KernelKind kind : {KernelKind::softmax, KernelKind::gaussian})
    for (const std::vector<std::string>& trained :
         {std::vector<std::string>{"W_Q", "W_K", "W_V"}, {"W_Q"}, {"W_K", "W_V"}, {"W_V", "W_O"}, {"W_O"}}) {
      Case c = {"units", 2, 3, 4, 2, 3, 2, kind};
      c.trainable = trained;
      const ModelPoint<double> x = make_instance(c);
      CAPTURE(describe(c));
      const auto at = [&](double X, double Y, double QK, double V, double O, double sigma) {
        AttentionSpec spec = c.spec();
        spec.bandwidth = spec.sigma() * sigma;
        Vector<double> weights = x.weights;
        auto data = std::make_shared<Data<double>>(*x.data);
        data->X *= X, data->Y *= Y;
        const double factors[] = {QK, QK, V, O};
        std::size_t b = 0;
        for (const auto& e : x.model->parameters().entries())
          weights.segment(e.offset, e.block.size()) *= factors[b++];
        const auto model = build_single_attention<double>(spec, trained);
        const double length = attention_length({model, weights, data});
        ModelObjective f({model, weights, data}, 0, length);
        f.at(model->parameters().extract(weights));
        return std::pair(length, f.gradient_scale());
      };
      const auto [length, scale] = at(1, 1, 1, 1, 1, 1);
      CHECK(length > 0.05);
      CHECK(length < 50);
      if (trained.back() != "W_O") {
        CHECK(at(1, 0x1p-40, 1, 1, 0x1p-40, 1) == std::pair(length, scale * 0x1p-80));
        CHECK(at(0x1p9, 1, 0x1p-9, 0x1p-9, 1, 1) == std::pair(length * 0x1p-9, scale * 0x1p9));
      } else {
        CHECK(at(1, 0x1p-40, 1, 0x1p-20, 0x1p-20, 1) == std::pair(length * 0x1p-20, scale * 0x1p-60));
      }
      if (kind == KernelKind::gaussian && trained == std::vector<std::string>{"W_Q"})
        CHECK(at(1, 1, 0x1p7, 1, 1, 0x1p7) == std::pair(length * 0x1p7, scale * 0x1p-7));
    }
}

TEST_CASE("gradients are relative to |J| |Y| / sqrt(m)") {
  const ModelPoint<double> x = make_instance({"scale", 3, 4, 5, 2, 3, 2});
  ModelObjective f(x);
  f.at(x.theta());
  const double expected = f.here().jacobian_transposed().norm() * x.data->Y.norm() /
                          std::sqrt(static_cast<double>(x.data->Y.size()));
  CHECK(f.gradient_scale() > expected / 2);
  CHECK(f.gradient_scale() < expected * 2);
  CHECK(f.gradient_scale() == jacobian_scale(f.here(), Probes::outputs) * x.data->Y.stableNorm());
  const double other = jacobian_scale(f.here(), Probes::parameters) * x.data->Y.norm();
  CHECK(other > expected / 2);
  CHECK(other < expected * 2);
}

TEST_CASE("sizes whose powers are no numbers are refused in a line, and no descent goes there") {
  for (const double size : {0.0, 1.0, 1e-30, 1e30}) CHECK_NOTHROW(require_representable(size, ""));
  for (const double size : {1e-31, 1e31, HUGE_VAL, std::nan("")})
    CHECK_THROWS_AS(require_representable(size, "file: "), WorkError);
  CHECK_THROWS_WITH(require_representable(1e40, "file: "),
                    Catch::StartsWith("file: outputs or targets of size 1e+40"));
  const ModelPoint<double> x = make_instance({"large", 2, 3, 4, 2, 3, 2});
  ModelObjective f(x);
  CHECK_FALSE(f.at(x.theta() * 1e40));
  CHECK_THROWS_AS(f.here(), InputError);
}
