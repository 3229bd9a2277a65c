#include "basin/ntk/trained_kernel.h"

#include <Eigen/Eigenvalues>
#include <catch2/catch.hpp>

#include "basin/linalg/dense.h"
#include "basin/linalg/errors.h"
#include "support/cases.h"

using namespace basin;
using namespace basin::test;

TEST_CASE("kernels over all rows, those that count, and what residuals of classes see") {
  // 4 samples of 3 tokens, 3 classes a token
  const Architecture a = {.input = {3, 5},
                          .layers = {{"linear", {{"outputs", Index{9}}}, "in"},
                                     {"activation", {{"function", "tanh"}}},
                                     {"linear", {{"outputs", Index{3}}}, "out"}},
                          .loss = {"cross-entropy", {}}};
  const auto all_blocks = blocks(a);
  const auto model = build<double>(a, matching_blocks({"*"}, all_blocks));
  Data<double> data = {4, random_vectors(12, 5, 1), {}};
  data.labels = {0, 1, -1, 2, 2, 0, -1, -1, 1, 0, 1, 2};
  const ModelPoint<double> x = {model, 0.5 * random_vectors(9 * 6 + 3 * 10, 1, 3),
                                std::make_shared<Data<double>>(data)};
  const Linearization<double> at = x.linearize();
  const Vectors<double> J = at.jacobian_transposed().transpose();
  const std::vector<std::vector<std::string>> sets = {{"in.W", "in.b"}, {"out.W"}, at.parameters().trained()};
  const TrainedJacobian jacobian(at, 1e9);
  CHECK_THROWS_WITH(TrainedJacobian(at, 10), Catch::Contains("the Jacobian needs"));
  for (const KernelRows rows : {KernelRows::all, KernelRows::counting, KernelRows::centred}) {
    // the same by a projector instead of a basis: zeros beside the eigenvalues
    Matrix<double> P = Matrix<double>::Zero(36, 36);
    Index kept = 0;
    for (Index row = 0; row < 12; ++row) {
      if (rows != KernelRows::all && data.labels[static_cast<std::size_t>(row)] < 0) continue;
      ++kept;
      P.block(3 * row, 3 * row, 3, 3).setIdentity();
      if (rows == KernelRows::centred) P.block(3 * row, 3 * row, 3, 3).array() -= 1.0 / 3;
    }
    const Index m = kept * (rows == KernelRows::centred ? 2 : 3);
    REQUIRE(kernel_size(at, rows) == m);
    const std::vector<NtkSpectrum> found = jacobian.spectra(sets, rows);
    REQUIRE(found.size() == 3);
    for (std::size_t s = 0; s < 3; ++s) {
      Vectors<double> part = Vectors<double>::Zero(36, at.theta_size());
      for (const std::string& name : sets[s]) {
        const auto& e = at.parameters().find(name);
        part.middleCols(e.theta_offset, e.block.size()) = J.middleCols(e.theta_offset, e.block.size());
      }
      const Vector<double> expected = singular_values(P * part);
      REQUIRE(found[s].size() == m);
      for (Index i = 0; i < m; ++i)
        CHECK(std::abs(found[s].singular_values[i] - expected[i]) <= found[s].singular_value_error);
      CHECK(found[s].singular_value_error < 1e-12 * expected[0]);
    }
    const TrainedKernelOperator K(at, rows);
    const Vector<double> eigenvalues =
        Eigen::SelfAdjointEigenSolver<Vectors<double>>(assemble(K)).eigenvalues();
    CHECK(eigenvalues[m - 1] == Approx(found[2].lambda_max()).epsilon(1e-12));
    CHECK(std::abs(eigenvalues[0] - found[2].lambda_min()) < 1e-12 * found[2].lambda_max());
    const KernelProducts products = kernel_by_products(at, rows, 400, 1);
    CHECK(products.kernel.upper >= found[2].lambda_min() * (1 - 1e-10));
    CHECK(products.kernel.lower == 0);
    CHECK(products.kernel.largest_lower <= found[2].lambda_max() * (1 + 1e-12));
    CHECK(products.kernel.lambda_max == Approx(found[2].lambda_max()).epsilon(1e-6));
  }
}
