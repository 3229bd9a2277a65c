#include "basin/single_layer/kernel_analysis.h"

#include <catch2/catch.hpp>

#include "support/cases.h"

using namespace basin;
using namespace basin::test;

TEST_CASE("sets of blocks: all together is the last") {
  const std::vector<std::string> trained = {"W_Q", "W_V", "W_O"};
  using Sets = std::vector<std::vector<std::string>>;
  CHECK(kernel_sets(trained, KernelSets::sum) == Sets{trained});
  CHECK(kernel_sets(trained, KernelSets::blocks) == Sets{{"W_Q"}, {"W_V"}, {"W_O"}, trained});
  CHECK(kernel_sets(trained, KernelSets::unions) ==
        Sets{{"W_Q"}, {"W_V"}, {"W_O"}, {"W_Q", "W_V"}, {"W_Q", "W_O"}, {"W_V", "W_O"}, trained});
  CHECK(kernel_sets({"W_O"}, KernelSets::unions) == Sets{{"W_O"}, {"W_O"}});

  std::vector<std::string> many;  // of a deep network
  for (int b = 0; b < 70; ++b) many.push_back("layers." + std::to_string(b));
  CHECK(kernel_sets(many, KernelSets::sum) == Sets{many});
  CHECK(kernel_sets(many, KernelSets::blocks).size() == 71);
  CHECK_THROWS_WITH(kernel_sets(many, KernelSets::unions),
                    "the sets of 70 blocks are too many; expected at most 12 blocks");
}

TEST_CASE("all methods enclose the same smallest eigenvalue") {
  const Case c = {"analysis", 2, 3, 8, 2, 4, 2};
  const ModelPoint<double> point = make_instance(c);
  const auto sets = kernel_sets(c.trainable, KernelSets::blocks);
  std::vector<NtkAnalysis> found;
  for (const NtkMethod method :
       {NtkMethod::singular_values, NtkMethod::automatic, NtkMethod::formed, NtkMethod::matrix_free}) {
    NtkAnalysisOptions options;
    options.method = method;
    std::vector<std::string> work;
    options.progress = [&](const std::string& name) {
      work.push_back(name);
      return Progress();
    };
    found.push_back(analyse_ntk(point, sets, options));
    CHECK(work.size() == (method == NtkMethod::matrix_free ? 3 : 2));
    CHECK(analysis_bytes(c.spec(), c.N, method, sets) > 0);
  }
  const KernelMinimum& exact = found[0].sum();
  CHECK(found[0].has_all_eigenvalues());
  REQUIRE(exact.positive_definite());
  for (const NtkAnalysis& a : found) {
    REQUIRE(a.kernels.size() == sets.size());
    CHECK(a.sum().lower <= exact.upper);
    CHECK(a.sum().upper >= exact.lower);
    CHECK(a.ranks.plain == found[0].ranks.plain);
    CHECK(a.kernels[0].conditions.blocks == "W_Q");
  }
  REQUIRE(found[3].products);
  CHECK(found[3].sum().upper == Approx(exact.lambda_min).epsilon(1e-2));
  CHECK_FALSE(found[2].products);
}
