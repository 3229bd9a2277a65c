#include "ntk/minimum.h"

#include <catch2/catch.hpp>

#include "model/twin.h"
#include "ntk/matrix_free.h"
#include "support/cases.h"

using namespace basin;
using namespace basin::test;

namespace {

struct Everything {
  std::vector<NtkSpectrum> spectra;
  AttentionFactors factors, twin;
};

Everything everything(const Case& c, std::uint64_t seed = 1) {
  const Instance<double> instance = make_instance(c, seed);
  const Linearization<double> at = instance.linearize();
  Vectors<double> Jt = at.jacobian_transposed();
  const Twin twin = make_twin(instance.weights, *instance.data);
  const Linearization<double> twin_at(instance.model, twin.weights, twin.data);
  const std::vector<double> rounding = jacobian_rounding(Jt, twin_at);
  return {ntk_spectra(Jt, at.parameters(), rounding),
          attention_factors(c.spec(), instance.weights, instance.data),
          attention_factors(c.spec(), twin.weights, twin.data)};
}

/// Two enclosures of the same number.
void check_same(const KernelMinimum& found, const KernelMinimum& expected) {
  CAPTURE(found.name, found.lambda_min, found.lower, found.upper, expected.lower, expected.upper);
  CHECK(found.size == expected.size);
  CHECK(found.parameters == expected.parameters);
  CHECK(found.lower <= expected.upper);
  CHECK(found.upper >= expected.lower);
  CHECK(found.largest_lower <= expected.largest_upper);
  CHECK(found.largest_upper >= expected.largest_lower);
  CHECK(found.lower <= found.lambda_min);
  CHECK(found.lambda_min <= found.upper + 1e-300);
}

}  // namespace

TEST_CASE("formed kernels give the squares of the singular values, or nothing") {
  const auto kind = GENERATE(KernelKind::softmax, KernelKind::gaussian);
  const std::vector<std::vector<std::string>> sets = {{"W_Q"}, {"W_K"}, {"W_V"}, attention_blocks()};
  Index found = 0, refused = 0;
  std::vector<Case> cases = hard_cases(kind);
  cases.push_back({"comfortable", 4, 3, 24, 2, 6, 2, kind});
  for (const Case& c : cases) {
    if (c.n > 10) continue;
    const Everything all = everything(c);
    CAPTURE(describe(c));
    const auto minima = formed_minima(all.factors, all.twin, sets);
    REQUIRE(minima.size() == sets.size());
    for (std::size_t b = 0; b < sets.size(); ++b) {
      const KernelMinimum expected = minimum_of(b == 3 ? all.spectra.back() : all.spectra[b]);
      if (!minima[b]) {
        ++refused;
        continue;
      }
      ++found;
      check_same(*minima[b], expected);
      CHECK(minima[b]->positive_definite());
      CHECK(expected.positive_definite());
      CHECK(std::abs(minima[b]->lambda_min - expected.lambda_min) <= 1e-4 * expected.lambda_min);
    }
    check_same(output_minimum(all.factors, all.twin), minimum_of(all.spectra[3]));
    CHECK(output_minimum(all.factors, all.twin).rank == all.spectra[3].rank());
  }
  CHECK(found >= 8);
  CHECK(refused >= 8);
}

TEST_CASE("an exactly singular output block is reported as such") {
  const Everything all = everything({"narrow", 4, 3, 5, 1, 2, 2});
  const KernelMinimum m = output_minimum(all.factors, all.twin);
  CHECK_FALSE(m.positive_definite());
  CHECK(m.rank == 4);
  CHECK(m.upper == 0);
}

TEST_CASE("products alone find the smallest eigenvalue, too, and know what they do not prove") {
  const auto kind = GENERATE(KernelKind::softmax, KernelKind::gaussian);
  Case c = {"matrix-free", 6, 4, 30, 2, 5, 2, kind};
  if (GENERATE(true, false)) c.trainable = {"W_Q", "W_V"};
  const Instance<double> instance = make_instance(c);
  const Linearization<double> at = instance.linearize();
  Vectors<double> Jt = at.jacobian_transposed();
  const Twin twin = make_twin(instance.weights, *instance.data);
  const Linearization<double> twin_at(instance.model, twin.weights, twin.data);
  const KernelMinimum expected =
      minimum_of(ntk_spectra(Jt, at.parameters(), jacobian_rounding(Jt, twin_at)).back());
  const auto single = [&](Index i) {
    auto data = std::make_shared<Data<double>>();
    *data = {1, instance.data->X.middleRows(i * c.n, c.n), instance.data->Y.middleRows(i * c.n, c.n)};
    return attention_factors(c.spec(), instance.weights, data);
  };
  const MatrixFreeMinimum found = matrix_free_minimum(at, twin_at, single);
  CAPTURE(kernel_name(kind), found.kernel.lambda_min, expected.lambda_min, found.products, found.residual);
  CHECK(found.converged);
  CHECK(found.kernel.upper >= expected.lower);
  CHECK(found.kernel.lower == 0);
  CHECK_FALSE(found.kernel.positive_definite());
  CHECK(std::abs(found.kernel.lambda_min - expected.lambda_min) <= 1e-3 * expected.lambda_min);
  CHECK(found.residual <= 1e-3 * found.kernel.lambda_min);
  CHECK(found.kernel.lambda_max <= expected.largest_upper);
  CHECK(found.kernel.lambda_max == Approx(expected.lambda_max).epsilon(0.05));

  const MatrixFreeMinimum cut =
      matrix_free_minimum(at, twin_at, single, {.tolerance = 1e-12, .max_products = 9});
  CHECK_FALSE(cut.converged);
  CHECK(cut.kernel.upper >= expected.lower);
}
