#include "basin/single_layer/feature_reduction.h"

#include <catch2/catch.hpp>

#include "basin/single_layer/attention_factors.h"
#include "support/cases.h"

using namespace basin;
using namespace basin::test;

TEST_CASE("fewer features give the same outputs, gradients' norms and kernels") {
  const auto kind = GENERATE(KernelKind::softmax, KernelKind::gaussian);
  const bool duplicates = GENERATE(false, true);
  for (const Index D : {7, 20, 100}) {
    Case c = {"wide", 2, 3, D, 2, 3, 2, kind};
    c.duplicate_tokens = duplicates;  // the rows of X do not span N n dimensions
    const ModelPoint<double> point = make_instance(c);
    const FeatureReduction reduction(point);
    REQUIRE(reduction.useful());
    CHECK(reduction.rounding_scale() == Approx(std::sqrt(static_cast<double>(D) / 6)));
    const ModelPoint<double> small = reduction.apply(point);
    CHECK(AttentionView(small).spec().embedding == 6);
    CHECK(small.weights.size() == small.parameters().weight_count());
    CHECK(small.data->X.cols() == 6);
    CHECK(small.data->Y == point.data->Y);
    const Linearization<double> at = point.linearize(), other = small.linearize();
    CHECK((at.outputs() - other.outputs()).norm() <= 1e-13 * at.outputs().norm());
    CHECK(at.gradient().norm() == Approx(other.gradient().norm()).epsilon(1e-13));
    const AttentionFactors f = attention_factors(point), g = attention_factors(small);
    for (const std::string& block : attention_blocks()) {
      const Matrix<double> K = block_kernel(f, block);
      CHECK((K - block_kernel(g, block)).norm() <= 1e-13 * K.norm() + 1e-28);
    }
  }
}

TEST_CASE("as many tokens as features are left alone") {
  const Case c = {"narrow", 2, 3, 6, 2, 3, 2};
  const ModelPoint<double> point = make_instance(c);
  const FeatureReduction reduction(point);
  CHECK_FALSE(reduction.useful());
  const ModelPoint<double> same = reduction.apply(point);
  CHECK(same.weights == point.weights);
  CHECK(same.data == point.data);
}

TEST_CASE(
    "features of very different scale, for which weights make up, are left alone: digits would be lost") {
  const double scale = GENERATE(1.0, 1e5);
  const Case c = {"features", 2, 2, 9, 2, 2, 2};
  ModelPoint<double> instance = make_instance(c);
  auto data = std::make_shared<Data<double>>(*instance.data);
  data->X.col(0) *= scale;
  for (Index p = 0; p < 6; ++p)
    instance.weights.segment(p * 18, 2) /= scale;  // row 0 of W_Q[h], W_K[h], W_V[h]
  CHECK(FeatureReduction({instance.model, instance.weights, data}).useful() == (scale == 1));
}
