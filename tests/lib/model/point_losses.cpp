#include "basin/model/point_losses.h"

#include <omp.h>

#include "basin/linalg/errors.h"
#include "basin/model/evaluator.h"
#include "basin/model/labels.h"
#include "support/deep_network.h"

using namespace basin;
using namespace basin::test;

TEST_CASE("losses of many points are those of each, whatever the memory and threads; points are counted") {
  const ModelPoint<double> point = deep_classifier();
  const int threads_before = omp_get_max_threads();
  const auto weights_of = [&](Index i, Vector<double>& weights) {
    weights = (1 + 0.1 * static_cast<double>(i)) * point.weights;
  };
  constexpr Index kPoints = 7;
  Vector<double> expected(kPoints), shares(kPoints), weights;
  LossEvaluator<double> evaluator(point, 12);
  for (Index i = 0; i < kPoints; ++i) {
    weights_of(i, weights);
    expected[i] = evaluator(weights);
    shares[i] = accuracy(point.at_weights(weights).linearize(), *point.data);
  }
  const std::size_t each = 2 * 8 * static_cast<std::size_t>(point.weights.size()) + 4096;
  for (const std::size_t memory : {std::size_t{0}, 3 * each, std::size_t{1} << 30U})
    for (const int threads : {1, 4}) {
      omp_set_num_threads(threads);
      PointLosses at(point, ForwardPass<double>(point, 12), memory, true);
      if (memory == 0) CHECK(at.points_at_once() == 1);
      if (memory > 4 * each) CHECK(at.points_at_once() == (16 * threads + 2) / 3);
      std::vector<Index> told;
      const auto values = at.at(kPoints, weights_of, [&](Index done, Index of) {
        CHECK(of == kPoints);
        told.push_back(done);
      });
      CHECK(values.losses == expected);
      CHECK(values.accuracies == shares);
      REQUIRE_FALSE(told.empty());
      CHECK(told.back() == kPoints);
      if (memory == 0) CHECK(told.size() == kPoints);
    }
  omp_set_num_threads(threads_before);
}

TEST_CASE("no accuracy without labels") {
  const ModelPoint<double> point = make_instance({"numbers", 2, 3, 4, 1, 2, 2});
  CHECK_THROWS_AS(PointLosses(point, ForwardPass<double>(point), 0, true), InputError);
}
