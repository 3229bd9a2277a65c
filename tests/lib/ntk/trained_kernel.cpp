#include "basin/ntk/trained_kernel.h"

#include <catch2/catch.hpp>

#include "basin/linalg/dense.h"
#include "basin/linalg/errors.h"
#include "support/cases.h"

using namespace basin;
using namespace basin::test;

TEST_CASE("the kernel of a network that is no single layer, from J: enclosed, over the rows that count") {
  // 3 samples of 2 tokens, 2 outputs each, of an MLP: 12 rows of J, which has 58 columns and full rank
  const Architecture a = {.input = {2, 4},
                          .layers = {{"linear", {{"outputs", Index{8}}}, "in"},
                                     {"activation", {{"function", "tanh"}}},
                                     {"linear", {{"outputs", Index{2}}}, "out"}},
                          .loss = {}};
  const auto model = build<double>(a, matching_blocks({"*"}, blocks(a)));
  Data<double> data = {3, random_vectors(6, 4, 1), random_vectors(6, 2, 2)};
  for (const bool masked : {false, true}) {
    if (masked) data.mask = {1, 0, 1, 1, 0, 1};
    const ModelPoint<double> x = {model, 0.5 * random_vectors(58, 1, 3),
                                  std::make_shared<Data<double>>(data)};
    const Linearization<double> at = x.linearize();
    const KernelMinimum found = jacobian_kernel_minimum(at, 1e9);
    Vectors<double> Jt = at.jacobian_transposed();
    if (masked) {
      Index kept = 0;
      for (Index row = 0; row < 6; ++row)
        if (data.mask[row] != 0) Jt.middleCols(2 * kept++, 2) = Jt.middleCols(2 * row, 2).eval();
      Jt.conservativeResize(Eigen::NoChange, 2 * kept);
    }
    CHECK(found.name == "sum");
    CHECK(found.size == Jt.cols());
    CHECK(found.parameters == at.theta_size());
    const Vector<double> values = singular_values(Jt);
    const double smallest = values[values.size() - 1] * values[values.size() - 1];
    REQUIRE(smallest > 1e-6 * values[0] * values[0]);
    CHECK(found.upper - found.lower <= 1e-8 * smallest);
    CHECK(found.lower <= smallest * (1 + 1e-12));
    CHECK(found.upper >= smallest * (1 - 1e-12));
    CHECK(found.lambda_max == Approx(values[0] * values[0]).epsilon(1e-12));
    CHECK_THROWS_WITH(jacobian_kernel_minimum(at, 10),
                      Catch::Matchers::StartsWith("the kernel of the trained blocks: the Jacobian needs "));
  }
}
