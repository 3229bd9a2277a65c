#include "basin/single_layer/formed_kernel.h"

#include <catch2/catch.hpp>

#include "support/cases.h"

using namespace basin;
using namespace basin::test;

// What is added for squares that underflow, at most, and four times.
constexpr double kUnderflowOfK = 1e-148;

TEST_CASE("tiles make up the kernels of the formulas") {
  const auto kind = GENERATE(KernelKind::softmax, KernelKind::gaussian);
  std::vector<Case> cases = hard_cases(kind);
  cases.push_back({"several tiles, the last one smaller", 23, 4, 5, 2, 3, 8, kind});
  cases.push_back({"samples larger than a tile", 3, 40, 4, 2, 3, 7, kind});
  for (const Case& c : cases) {
    const ModelPoint<double> instance = make_instance(c, 3);
    const MeasuredFactors measured = measured_factors(instance);
    const AttentionFactors& f = measured.factors;
    CAPTURE(describe(c));
    double errors = 0;
    Matrix<double> all = Matrix<double>::Zero(f.outputs(), f.outputs());
    for (const std::string& block : attention_blocks()) {
      const Matrix<double> expected = block_kernel(f, block);
      const FormedKernel found = formed_kernel(measured, {block});
      const Matrix<double> difference = Matrix<double>(found.K - expected).triangularView<Eigen::Lower>();
      CAPTURE(block);
      // Both round each entry: by eps times the size of what is summed, at most |K| and, where terms cancel,
      // what perturbed points show.
      CHECK(difference.norm() <= 1e-13 * expected.norm() + found.error);
      double distance = 0;
      for (const AttentionFactors& there : measured.perturbed)
        distance = std::max(distance, (expected - block_kernel(there, block)).norm());
      // Perturbed points, and eps times the largest score for each of two weights (some 1e4 in the hardest
      // case).
      CHECK(found.error >= 2 * distance - 1e-13 * expected.norm());
      CHECK(found.error <= 6 * distance + 3e-11 * expected.norm() + kUnderflowOfK);
      errors += found.error;
      all += expected;
    }
    const FormedKernel sum = formed_kernel(measured, attention_blocks());
    CHECK(Matrix<double>(Matrix<double>(sum.K - all).triangularView<Eigen::Lower>()).norm() <=
          1e-13 * all.norm() + sum.error);
    CHECK(sum.error == Approx(errors).margin(1e-11 * all.norm() + kUnderflowOfK));
  }
}
