#include "ntk/formed_kernel.h"

#include <catch2/catch.hpp>

#include "model/twin.h"
#include "support/cases.h"

using namespace basin;
using namespace basin::test;

TEST_CASE("tiles make up the kernels of the formulas") {
  const auto kind = GENERATE(KernelKind::softmax, KernelKind::gaussian);
  std::vector<Case> cases = hard_cases(kind);
  cases.push_back({"several tiles, the last one smaller", 23, 4, 5, 2, 3, 8, kind});
  cases.push_back({"samples larger than a tile", 3, 40, 4, 2, 3, 7, kind});
  for (const Case& c : cases) {
    const Instance<double> instance = make_instance(c, 3);
    const Twin moved = make_twin(instance.weights, *instance.data);
    const AttentionFactors f = attention_factors(c.spec(), instance.weights, instance.data),
                           twin = attention_factors(c.spec(), moved.weights, moved.data);
    CAPTURE(describe(c));
    double errors = 0;
    Matrix<double> all = Matrix<double>::Zero(f.outputs(), f.outputs());
    for (const std::string& block : attention_blocks()) {
      const Matrix<double> expected = block_kernel(f, block);
      const FormedKernel found = formed_kernel(f, twin, {block});
      const Matrix<double> difference = Matrix<double>(found.K - expected).triangularView<Eigen::Lower>();
      CAPTURE(block);
      // Both round each entry: by eps times the size of what is summed, at most |K| and, where terms cancel,
      // what the twin shows.
      CHECK(difference.norm() <= 1e-13 * expected.norm() + found.error);
      CHECK(found.error == Approx(4 * (expected - block_kernel(twin, block)).norm())
                               .epsilon(0.2)
                               .margin(1e-13 * expected.norm()));
      errors += found.error;
      all += expected;
    }
    const FormedKernel sum = formed_kernel(f, twin, attention_blocks());
    CHECK(Matrix<double>(Matrix<double>(sum.K - all).triangularView<Eigen::Lower>()).norm() <=
          1e-13 * all.norm() + sum.error);
    CHECK(sum.error == Approx(errors));
  }
}
