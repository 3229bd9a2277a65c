#include "basin/single_layer/logit_symmetries.h"

#include <catch2/catch.hpp>

#include "support/cases.h"

using namespace basin;
using namespace basin::test;

namespace {

ScoreWeights random_weights(Index D, Index d, bool Q, bool K) {
  return {random_vectors(D, d, 2), random_vectors(D, d, 3), Q, K};
}

}  // namespace

TEST_CASE("of many samples a few show that there are no further score symmetries") {
  const Index n = 4, D = 5, d = 3;
  const Matrix<double> X = random_vectors(60 * n, D, 1);
  for (const KernelKind kernel : {KernelKind::softmax, KernelKind::gaussian})
    for (const auto& [Q, K] : {std::pair(true, true), {true, false}, {false, true}}) {
      CAPTURE(kernel_name(kernel), Q, K);
      const ScoreWeights w = random_weights(D, d, Q, K);
      const Index columns = D * d * (Q && K ? 2 : 1), null = columns - score_rank(kernel, w, X, n);
      CHECK(few_samples_suffice(kernel, w, X, n, null));
      CHECK_FALSE(score_symmetries(kernel, w, X, n, null));
      if (null > 0) CHECK_FALSE(few_samples_suffice(kernel, w, X, n, null - 1));
      // not so few that nothing is saved
      CHECK_FALSE(few_samples_suffice(kernel, w, X.topRows(3 * n), n, null));
      // The first half says nothing, being one sample again and again: all are looked at.
      Matrix<double> late = X;
      for (Index i = 0; i < 30; ++i) late.middleRows(i * n, n) = X.topRows(n);
      CHECK_FALSE(few_samples_suffice(kernel, w, late, n, null));
      CHECK_FALSE(score_symmetries(kernel, w, late, n, null));
      // Nor do samples that are negligible beside the others.
      late = X;
      late.topRows(30 * n) *= 1e-7;
      CHECK_FALSE(few_samples_suffice(kernel, w, late, n, null));
    }
}
