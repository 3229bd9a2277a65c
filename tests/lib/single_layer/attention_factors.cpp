#include "basin/single_layer/attention_factors.h"

#include <catch2/catch.hpp>

#include "basin/linalg/errors.h"
#include "support/cases.h"

using namespace basin;
using namespace basin::test;

TEST_CASE("kernels made of factors are J J^T, block by block") {
  const auto kind = GENERATE(KernelKind::softmax, KernelKind::gaussian);
  for (const Case& c : hard_cases(kind)) {
    if (c.n > 10) continue;
    CAPTURE(describe(c));
    const ModelPoint<double> instance = make_instance(c);
    const Linearization<double> at = instance.linearize();
    const Vectors<double> Jt = at.jacobian_transposed();
    const AttentionFactors f = attention_factors(instance);
    CHECK(f.outputs() == Jt.cols());
    for (const auto& entry : at.parameters().entries()) {
      const Vectors<double> J = Jt.middleRows(entry.theta_offset, entry.block.size());
      const Matrix<double> expected = J.transpose() * J, found = block_kernel(f, entry.block.name);
      CAPTURE(entry.block.name);
      // Rounding of scores, eps times their size, is relative in J; they are 4 here, or score_scale.
      const double tolerance = c.score_scale > 1 || c.bandwidth > 0 ? 1e-8 : 1e-12;
      // Saturated softmax: all that is left of J may be rounding, eps times keys of size 100.
      CHECK((found - expected).norm() <= tolerance * expected.norm() + 1e-26);
      CHECK((found - found.transpose()).norm() <= 1e-14 * found.norm());
    }
  }
}

TEST_CASE("factors of weights that are too large are refused, and so are unknown blocks") {
  const Case c = {"large", 2, 3, 4, 1, 2, 2};
  const ModelPoint<double> instance = make_instance(c);
  CHECK_THROWS_AS(attention_factors(instance.at_weights(instance.weights * 1e300)), WorkError);
  CHECK_THROWS_AS(block_kernel(attention_factors(instance), "W_X"), InputError);
}
