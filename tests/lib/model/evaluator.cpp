#include "basin/model/evaluator.h"

#include <catch2/catch.hpp>

#include "support/cases.h"

using namespace basin;
using namespace basin::test;

TEST_CASE("the evaluator's loss has the bits of the linearization's") {
  const auto kind = GENERATE(KernelKind::softmax, KernelKind::gaussian);
  for (const Case& c : hard_cases(kind)) {
    CAPTURE(describe(c));
    const ModelPoint<double> instance = make_instance(c);
    LossEvaluator<double> evaluator(instance, 7);
    const double loss = instance.linearize({.chunk_rows = 7}).loss();
    CHECK(loss > 0);
    CHECK(evaluator(instance.weights) == loss);
    CHECK(evaluator(instance.weights) == loss);  // nothing is left over from before
  }
}
