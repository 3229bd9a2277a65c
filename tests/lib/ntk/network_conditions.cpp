#include "basin/ntk/network_conditions.h"

#include <catch2/catch.hpp>

#include "basin/linalg/dense.h"
#include "basin/linalg/errors.h"
#include "support/language_model.h"

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

TEST_CASE("under cross-entropy the kernel is that of logit differences; what no weights change is said") {
  Architecture a = language_model("cross-entropy");
  const ModelPoint<double> all = language_point(a);
  CHECK(rows_of_loss(*all.model) == KernelRows::centred);
  CHECK(rows_of_loss(*language_point(language_model("squared")).model) == KernelRows::counting);
  // 6 rows of 5 logits, on which embedding, attention and head are of rank 6 x 4 at most
  const ModelPoint<double> head = all.with_trainable({"head.W", "head.b"});
  const KernelMinimum k = jacobian_kernel_minimum(head.linearize(), 1e9);
  CHECK(k.size == 24);
  CHECK(k.definiteness() == Definiteness::singular);
  const Linearization<double> at = all.linearize();
  const KernelConditions of_head = network_conditions(at, {"head.W", "head.b"}, KernelRows::centred);
  CHECK(of_head.conditions[0].name == "parameters");
  CHECK(of_head.conditions[0].measured == 20);  // 25, of which 5 add the same to all classes of a row
  // b_K adds the same to all scores of a row
  const KernelMinimum keys = jacobian_kernel_minimum(all.with_trainable({"attention.b_K"}).linearize(), 1e9);
  CHECK(keys.definiteness() == Definiteness::singular);
  CHECK(keys.largest_upper == 0);
  CHECK(keys.lambda_max == 0);
  CHECK(keys.rank == 0);
  const KernelConditions of_both =
      network_conditions(at, {"attention.b_Q", "attention.b_K"}, KernelRows::counting);
  CHECK(of_both.conditions[0].measured == 4);
}

TEST_CASE("of conditions that fail the one that bounds the rank most is the reason") {
  KernelConditions c;
  c.conditions = {count_condition("different_rows", "a", "b", Role::necessary, 200, 210, true, "x"),
                  count_condition("head_rank", "c", "b", Role::necessary, 130, 210, true, "y"),
                  count_condition("rank", "d", "b", Role::necessary, 3, 210, false, "to rounding only"),
                  count_condition("parameters", "e", "b", Role::necessary, 300, 210, true, "")};
  REQUIRE(c.refutation() != nullptr);
  CHECK(c.refutation()->name == "head_rank");
  CHECK(c.refutation()->statement == "c >= b");
}
