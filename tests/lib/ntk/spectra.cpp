#include "basin/ntk/spectra.h"

#include <Eigen/SVD>
#include <catch2/catch.hpp>

#include "basin/linalg/errors.h"
#include "basin/model/perturbation.h"
#include "support/cases.h"
#include "support/known_matrix.h"

using namespace basin;
using namespace basin::test;

namespace {

std::vector<NtkSpectrum> spectra_of(const ModelPoint<double>& instance) {
  const Linearization<double> at = instance.linearize();
  Vectors<double> Jt = at.jacobian_transposed();
  return ntk_spectra(Jt, at.parameters(), jacobian_rounding(Jt, instance.perturbed(0).linearize()));
}

}  // namespace

TEST_CASE("kernel spectra are those of J J^T, block by block and summed, and their bounds hold") {
  const auto kind = GENERATE(KernelKind::softmax, KernelKind::gaussian);
  for (const Case& c : hard_cases(kind)) {
    if (c.n > 10) continue;
    CAPTURE(describe(c));
    const ModelPoint<double> instance = make_instance(c);
    const Linearization<double> at = instance.linearize();
    const Vectors<double> Jt = at.jacobian_transposed();
    const std::vector<NtkSpectrum> spectra = spectra_of(instance);
    REQUIRE(spectra.size() == 5);
    for (std::size_t b = 0; b < spectra.size(); ++b) {
      const NtkSpectrum& s = spectra[b];
      const auto& entries = at.parameters().entries();
      const Vectors<double> block =
          b == 4 ? Jt : Vectors<double>(Jt.middleRows(entries[b].theta_offset, entries[b].block.size()));
      CAPTURE(s.name);
      CHECK(s.name == (b == 4 ? "sum" : entries[b].block.name));
      CHECK(s.parameters == block.rows());
      REQUIRE(s.size() == Jt.cols());
      // One-sided Jacobi on J itself: the most accurate way there is, and another one.
      Vector<double> expected = Vector<double>::Zero(s.size());
      const Vector<double> values = Eigen::JacobiSVD<Vectors<double>>(block).singularValues();
      expected.head(values.size()) = values;
      CHECK((s.singular_values - expected).cwiseAbs().maxCoeff() <= s.singular_value_error);
      CHECK((s.singular_values - expected).cwiseAbs().maxCoeff() <=
            1e-15 * static_cast<double>(s.size()) * expected[0]);
      for (Index i = 0; i < s.size(); ++i) {
        CHECK(s.eigenvalue(i) == s.singular_values[i] * s.singular_values[i]);
        CHECK(s.lower(i) <= s.eigenvalue(i));
        CHECK(s.upper(i) >= expected[i] * expected[i]);
      }
    }
  }
}

TEST_CASE("cancellation in the Jacobian widens the bound: a singular kernel is not called definite") {
  // A feature with a large common offset c: softmax ignores it exactly, its rounding does not.
  // K_Q and K_K have rank at most N n min(d, n - 1) = 12 of 18, whatever c is.
  const double c = GENERATE(0.0, 1e2, 1e4, 1e6, 1e8);
  const std::string block = GENERATE("W_Q", "W_K");
  Case shape = {"offset", 2, 3, 12, 1, 4, 3};
  shape.trainable = {block};
  ModelPoint<double> instance = make_instance(shape);
  auto data = std::make_shared<Data<double>>(*instance.data);
  data->X.col(0).array() += c;
  instance.data = data;
  if (c > 0) instance.weights.head(4) /= c;  // W_Q[0, 0, :]: queries stay of the size they were
  const NtkSpectrum s = spectra_of(instance).front();
  CAPTURE(c, block, s.singular_value_error, s.singular_values.transpose());
  const Index exact_rank = 12;
  CHECK(s.rank() <= exact_rank);
  if (c < 1e3) CHECK(s.rank() == exact_rank);
  CHECK(s.upper(17) > 0);
}

TEST_CASE("singular values are right far below the rounding of a formed kernel") {
  // J with singular values from 1 down to 1e-10: those of J J^T below 1e-16 are noise, these are not.
  const Index m = 20, P = 50;
  Vector<double> sigma(m);
  for (Index i = 0; i < m; ++i) sigma[i] = std::pow(10.0, -10.0 * static_cast<double>(i) / (m - 1));
  Vectors<double> Jt = random_orthogonal(P, 1).leftCols(m) * sigma.asDiagonal() * random_orthogonal(m, 2);
  const ParameterLayout layout({{"a", {30}}, {"b", {20}}}, {"a", "b"});
  const std::vector<NtkSpectrum> spectra = ntk_spectra(Jt, layout, {0, 0});
  const NtkSpectrum& sum = spectra.back();
  CHECK(sum.positive_definite());
  CHECK(sum.condition_number() == Approx(1e20).epsilon(1e-4));
  for (Index i = 0; i < m; ++i)
    CHECK(std::abs(sum.singular_values[i] - sigma[i]) <= sum.singular_value_error);
  CHECK(sum.lambda_min() == Approx(1e-20).epsilon(1e-4));
}

TEST_CASE("rank-deficient kernels are reported as such") {
  SECTION("duplicate tokens: softmax and Gaussian outputs repeat, so do the rows of J") {
    const auto kind = GENERATE(KernelKind::softmax, KernelKind::gaussian);
    Case c = {"duplicates", 2, 3, 8, 2, 4, 2, kind};
    c.duplicate_tokens = true;
    const NtkSpectrum sum = spectra_of(make_instance(c)).back();
    CHECK(sum.rank() == 4);  // N D_out of N n D_out
    CHECK_FALSE(sum.positive_definite());
    CHECK(sum.lower(4) == 0);
    CHECK(sum.upper(4) < 1e-20 * sum.lambda_max());
    CHECK(std::isinf(sum.condition_number()));
  }
  SECTION("fewer parameters than outputs: exactly zero") {
    Case c = {"few parameters", 4, 3, 2, 1, 1, 2};
    c.trainable = {"W_O"};
    const NtkSpectrum s = spectra_of(make_instance(c)).front();
    CHECK(s.rank() == 2);
    CHECK(s.lambda_min() == 0);
    CHECK(s.upper(23) == 0);
  }
  SECTION("no dependence at all: softmax with one token does not see W_Q") {
    Case c = {"one token", 3, 1, 4, 2, 2, 2};
    c.trainable = {"W_Q"};
    const NtkSpectrum s = spectra_of(make_instance(c)).front();
    CHECK(s.rank() == 0);
    CHECK(s.lambda_max() == 0);
  }
}

TEST_CASE("the output block has the eigenvalues of A A^T, each D_out times") {
  // theory: K_O = (R R^T) (x) I with R the rows read from the values, H d wide
  Case c = {"output block", 2, 3, 6, 3, 4, 3};
  c.trainable = {"W_O"};
  const NtkSpectrum s = spectra_of(make_instance(c)).front();
  for (Index i = 0; i < s.size(); i += 3) {
    CHECK(s.singular_values[i + 1] == Approx(s.singular_values[i]).epsilon(1e-10));
    CHECK(s.singular_values[i + 2] == Approx(s.singular_values[i]).epsilon(1e-10));
  }
  CHECK(s.positive_definite());  // H d >= N n
}

TEST_CASE("a Jacobian that is not finite is refused") {
  Vectors<double> Jt = Vectors<double>::Ones(4, 2);
  Jt(1, 1) = std::numeric_limits<double>::quiet_NaN();
  CHECK_THROWS_AS(ntk_spectra(Jt, ParameterLayout({{"a", {4}}}, {"a"}), {0}), WorkError);
}
