#include "basin/single_layer/kernel_minima.h"

#include <catch2/catch.hpp>

#include "basin/model/perturbation.h"
#include "basin/single_layer/certificate_input.h"
#include "basin/single_layer/matrix_free_kernel.h"
#include "basin/single_layer/smooth_step.h"
#include "support/cases.h"

using namespace basin;
using namespace basin::test;

namespace {

struct Everything {
  std::vector<NtkSpectrum> spectra;
  MeasuredFactors factors;
};

Everything everything(const Case& c, std::uint64_t seed = 1) {
  const ModelPoint<double> instance = make_instance(c, seed);
  const Linearization<double> at = instance.linearize();
  Vectors<double> Jt = at.jacobian_transposed();
  const std::vector<double> rounding = jacobian_rounding(Jt, instance.perturbed(0).linearize());
  return {ntk_spectra(Jt, at.parameters(), rounding), measured_factors(instance)};
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
    const auto minima = formed_minima(all.factors, sets);
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
    check_same(output_minimum(all.factors), minimum_of(all.spectra[3]));
    CHECK(output_minimum(all.factors).rank == all.spectra[3].rank());
  }
  CHECK(found >= 8);
  CHECK(refused >= 8);
}

TEST_CASE("all ways to the smallest eigenvalues agree, for all sets of blocks") {
  const auto kind = GENERATE(KernelKind::softmax, KernelKind::gaussian);
  std::vector<Case> cases = hard_cases(kind);
  cases.push_back({"comfortable", 4, 3, 24, 2, 6, 2, kind});
  cases.push_back({"more features than tokens", 2, 3, 40, 2, 3, 2, kind});
  cases.push_back({"small output", 4, 3, 24, 2, 6, 2, kind});
  cases.push_back({"small output", 2, 5, 64, 2, 6, 2, kind});
  Index formed = 0, triangular = 0, all = 0, too_much = 0;
  for (const Case& c : cases) {
    if (c.n > 10) continue;
    ModelPoint<double> instance = make_instance(c, 5);
    // An output that hardly depends on the weights: J J^T has no digits for it, J has.
    if (c.name == "small output") {
      const Index size = c.H * c.d * c.D_out;
      for (Index i = 0; i < size; i += c.D_out) instance.weights[instance.weights.size() - size + i] *= 1e-7;
    }
    const MeasuredFactors factors = measured_factors(instance);
    const auto sets = all_trainable_sets();
    const auto minima = [&](const MinimaOptions& options) {
      return kernel_minima(instance, factors, sets, options);
    };
    const Minima expected = minima({.spectra = true});
    for (const MinimaOptions& options :
         {MinimaOptions{.quick = 0}, MinimaOptions{.use_jacobian = false}, MinimaOptions{}}) {
      const Minima found = minima(options);
      for (std::size_t k = 0; k < sets.size(); ++k) {
        CAPTURE(describe(c), found.minima[k].method, options.quick, options.use_jacobian);
        check_same(found.minima[k], expected.minima[k]);
        if (found.minima[k].rank >= 0 && expected.minima[k].positive_definite())
          CHECK(found.minima[k].rank == expected.minima[k].rank);
        formed += found.minima[k].method == "formed kernel";
        triangular += found.minima[k].method == "triangular factor of J";
        all += found.spectra[k].has_value();
      }
      CHECK(found.minima.back().name == "sum");
    }
    // What may not be computed is left as it is, and said.
    std::string note;
    const Minima open = minima(
        {.form = false, .quick = 0, .operations = 1, .note = [&](const std::string& line) { note = line; }});
    CHECK(std::isinf(open.minima.back().largest_upper));
    too_much += note.find("too much") != std::string::npos;
  }
  CHECK(formed >= 20);
  CHECK(triangular >= 10);
  CHECK(all >= 100);
  CHECK(too_much >= 5);  // where there are enough parameters
}

TEST_CASE("conditions close what computing leaves open") {
  KernelMinimum computed;
  computed.size = 4;
  computed.lambda_min = 1e-20;
  computed.upper = 1e-9;
  computed.lambda_max = 2;
  computed.largest_upper = 10;
  KernelConditions known;
  known.upper_bound = 3;
  known.bounds.push_back({"local", "", Below::of(1e-12)});
  const KernelMinimum both = with_conditions(computed, known);
  CHECK(both.positive_definite());
  CHECK(both.proven_by_conditions);
  CHECK(both.lower == 1e-12);
  CHECK(both.lambda_min == 1e-12);
  CHECK(both.rank == 4);
  CHECK(both.largest_upper == 3);
  known.conditions.push_back({"parameters", "", Role::necessary, 3, 4, true, ""});
  CHECK(with_conditions(computed, known).upper == 0);
  computed.lower = 1e-11;
  known.conditions.clear();
  CHECK_FALSE(with_conditions(computed, known).proven_by_conditions);
  CHECK(with_conditions(computed, known).lower == 1e-11);
}

TEST_CASE("four verdicts: what counts as positive definite is above rounding of the largest eigenvalue") {
  KernelMinimum k;
  k.size = 2;
  k.lambda_max = k.largest_lower = k.largest_upper = 8;
  k.upper = 1e-3;
  CHECK(k.definiteness() == Definiteness::undecided);
  for (const bool conditions : {false, true}) {  // whoever says so
    k.proven_by_conditions = conditions;
    k.lower = k.lambda_min = k.upper = 8e-20;
    CHECK(k.positive());
    CHECK(k.definiteness() == Definiteness::in_theory);
    CHECK_FALSE(k.positive_definite());
    CHECK(k.condition_number() == Approx(1e20));
    k.lower = k.lambda_min = k.upper = 8e-15;
    CHECK(k.definiteness() == Definiteness::definite);
    CHECK(k.positive_definite());
  }
  // It is relative: a common factor of the kernel changes nothing.
  for (const double factor : {0x1p-900, 0x1p-40, 0x1p900}) {
    KernelMinimum scaled = k;
    scaled.lower *= factor, scaled.upper *= factor, scaled.largest_upper *= factor;
    CHECK(scaled.positive_definite());
    scaled.lower *= 1e-3;
    CHECK(scaled.definiteness() == Definiteness::in_theory);
  }
  k.lower = 0;
  k.log10_underflow = -1085;
  CHECK(k.definiteness() == Definiteness::in_theory);
  k.upper = 0;
  CHECK(k.definiteness() == Definiteness::singular);
  CHECK(to_string(Definiteness::in_theory) == "in theory only");
}

TEST_CASE("a lower bound that underflows is kept by its logarithm") {
  KernelMinimum computed;
  computed.size = 1;
  computed.upper = computed.largest_upper = std::numeric_limits<double>::min();
  KernelConditions known;
  known.upper_bound = std::numeric_limits<double>::min();
  known.bounds.push_back({"exact", "", Below::of_log10(-1085.75)});
  const KernelMinimum both = with_conditions(computed, known);
  CHECK(both.lower == 0);
  CHECK(both.upper > 0);
  CHECK(both.lower_bound().log10 == -1085.75);
  CHECK(both.definiteness() == Definiteness::in_theory);
  CHECK(both.rank == 1);
  const Below product = Below::of(1e-200) * Below::of(1e-200);
  CHECK(product.value == 0);
  CHECK(product.log10 == Approx(-400));
  CHECK(product.log10 < -400);
  CHECK(product.positive());
  CHECK_FALSE((Below::of(0) * Below::of(1e300)).positive());
}

TEST_CASE("no upper bound underflows, whatever the method: Gaussian attention of e^-1250") {
  // One token x = 1 with the query 50 and the key 0: K_O = exp(-2500), K_V the same.
  const Case c = {"far", 1, 1, 1, 1, 1, 1, KernelKind::gaussian, 1.0};
  ModelPoint<double> instance = make_instance(c);
  auto data = std::make_shared<Data<double>>(*instance.data);
  data->X.setOnes();
  data->Y.setOnes();
  instance.data = data;
  instance.weights << 50, 0, 1, 1;
  const MeasuredFactors factors = measured_factors(instance);
  const InitialisationConditions conditions(factors);
  const auto sets = all_trainable_sets();
  std::vector<MinimaOptions> ways(4);
  ways[1].quick = 0;
  ways[2].use_jacobian = false;
  ways[3].spectra = true;
  for (const MinimaOptions& options : ways) {
    const Minima found = kernel_minima(instance, factors, sets, options);
    for (std::size_t k = 0; k < sets.size(); ++k) {
      const KernelConditions known = conditions.of(sets[k]);
      const KernelMinimum m = with_conditions(found.minima[k], known);
      CAPTURE(m.name, m.method, m.lower, m.upper);
      CHECK_FALSE(known.refuted());
      CHECK(known.upper_bound > 0);
      CHECK(found.minima[k].upper > 0);
      CHECK(found.minima[k].definiteness() == Definiteness::undecided);
      CHECK(m.upper > 0);
      CHECK(m.largest_upper >= m.upper);
      CHECK(m.lower == 0);
      CHECK(m.definiteness() == Definiteness::in_theory);
      // J = exp(-1250) (-50, 50, 1, 1): the sum of at most all squares; the bounds say nearly that.
      CHECK(m.lower_bound().log10 <= -2500 / std::log(10.0) + std::log10(5002.0));
      CHECK(m.lower_bound().log10 >= -2500 / std::log(10.0) - 1e-6);
    }
    if (options.spectra)
      for (const auto& spectrum : found.spectra) CHECK(spectrum->upper(0) > 0);
  }
  const Linearization<double> at = instance.linearize();
  std::vector<Linearization<double>> perturbed;
  perturbed.push_back(instance.perturbed(0).linearize());
  const MatrixFreeMinimum products =
      matrix_free_minimum(at, perturbed, factors.factors, [&](Index) { return factors.factors; });
  CHECK(products.kernel.upper > 0);
  CHECK(with_conditions(products.kernel, conditions.of(attention_blocks())).definiteness() ==
        Definiteness::in_theory);

  // What is fitted to double precision need not be fitted.
  data->Y.setZero();
  const Linearization<double> fitted = instance.linearize();
  const KernelMinimum sum = with_conditions(products.kernel, conditions.of(attention_blocks()));
  const CertificateInput input = certificate_input(fitted, perturbed, sum);
  CHECK(input.r0 > 0);
  CHECK_FALSE(ball_certificate(input.norms, input.s0, input.S0, input.r0).passes);
  CHECK(jacobian_norm_bound(factors.factors, attention_blocks()) > 0);
}

TEST_CASE("an exactly singular output block is reported as such") {
  const Everything all = everything({"narrow", 4, 3, 5, 1, 2, 2});
  const KernelMinimum m = output_minimum(all.factors);
  CHECK_FALSE(m.positive_definite());
  CHECK(m.rank == 4);
  CHECK(m.upper == 0);
}

TEST_CASE("products alone find the smallest eigenvalue, too, and know what they do not prove") {
  const auto kind = GENERATE(KernelKind::softmax, KernelKind::gaussian);
  Case c = {"matrix-free", 6, 4, 30, 2, 5, 2, kind};
  if (GENERATE(true, false)) c.trainable = {"W_Q", "W_V"};
  const ModelPoint<double> instance = make_instance(c);
  const Linearization<double> at = instance.linearize();
  Vectors<double> Jt = at.jacobian_transposed();
  std::vector<Linearization<double>> perturbed;
  perturbed.push_back(instance.perturbed(0).linearize());
  const KernelMinimum expected =
      minimum_of(ntk_spectra(Jt, at.parameters(), jacobian_rounding(Jt, perturbed[0])).back());
  const auto single = [&](Index i) {
    auto data = std::make_shared<Data<double>>();
    *data = {1, instance.data->X.middleRows(i * c.n, c.n), instance.data->Y.middleRows(i * c.n, c.n)};
    return attention_factors({instance.model, instance.weights, data});
  };
  const AttentionFactors factors = attention_factors(instance);
  const MatrixFreeMinimum found = matrix_free_minimum(at, perturbed, factors, single);
  CAPTURE(kernel_name(kind), found.kernel.lambda_min, expected.lambda_min, found.products, found.residual);
  CHECK(found.converged);
  CHECK(found.kernel.upper >= expected.lower);
  CHECK(found.kernel.lower == 0);
  CHECK_FALSE(found.kernel.positive_definite());
  CHECK(std::abs(found.kernel.lambda_min - expected.lambda_min) <= 1e-3 * expected.lambda_min);
  CHECK(found.residual <= 1e-3 * found.kernel.lambda_min);
  CHECK(found.kernel.lambda_max <= expected.largest_upper);
  CHECK(found.kernel.lambda_max == Approx(expected.lambda_max).epsilon(1e-6));

  const MatrixFreeMinimum cut =
      matrix_free_minimum(at, perturbed, factors, single, {.tolerance = 1e-12, .max_products = 9});
  CHECK_FALSE(cut.converged);
  CHECK(cut.kernel.upper >= expected.lower);
}
