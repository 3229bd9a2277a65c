#include "basin/ntk/trained_kernel.h"

#include <catch2/catch.hpp>

#include "basin/linalg/dense.h"
#include "basin/linalg/errors.h"
#include "support/two_layers.h"

using namespace basin;
using namespace basin::test;

TEST_CASE("the kernel of a network of several layers, from J: enclosed, over the rows that count") {
  ModelPoint<double> x =
      two_layers().with_trainable({"first.W_Q", "first.W_V", "first.W_O", "second.W_V", "second.W_O"});
  for (const bool masked : {false, true}) {
    if (masked) {
      auto data = std::make_shared<Data<double>>(*x.data);
      data->mask = {1, 0, 1, 1, 1, 1, 1, 0, 0, 1, 1, 1};
      x.data = data;
    }
    const Linearization<double> at = x.linearize();
    const KernelMinimum found = jacobian_kernel_minimum(at, 1e9);
    Vectors<double> Jt = at.jacobian_transposed();
    if (masked) {
      Index kept = 0;
      for (Index row = 0; row < 12; ++row)
        if (x.data->mask[row] != 0) Jt.middleCols(3 * kept++, 3) = Jt.middleCols(3 * row, 3).eval();
      Jt.conservativeResize(Eigen::NoChange, 3 * kept);
    }
    CHECK(found.name == "sum");
    CHECK(found.size == Jt.cols());
    CHECK(found.parameters == at.theta_size());
    const Vector<double> values = singular_values(Jt);
    const double smallest = values[values.size() - 1] * values[values.size() - 1];
    CHECK(found.lower <= smallest * (1 + 1e-12));
    CHECK(found.upper >= smallest * (1 - 1e-12));
    CHECK(found.lambda_max == Approx(values[0] * values[0]).epsilon(1e-12));
  }
  CHECK_THROWS_WITH(jacobian_kernel_minimum(x.linearize(), 10),
                    Catch::Matchers::StartsWith("the kernel of the trained blocks: the Jacobian needs "));
}
