/// Every bound that a tool prints against a witness of 113 bits, over families of random problems that are
/// hard on rounding: no bound may be broken, and none may be so wide that it says nothing.
#include <catch2/catch.hpp>

#include "bounds/draws.h"
#include "bounds/table.h"
#include "curvature/operators.h"
#include "linalg/errors.h"
#include "model/twin.h"
#include "ntk/certificate_input.h"
#include "ntk/matrix_free.h"
#include "spectrum/counts.h"
#include "spectrum/eigenpairs.h"
#include "stationary/rounding.h"
#include "support/quad_model.h"

using namespace basin;
using namespace basin::test;

namespace {

constexpr double kNone = 1e-22;  // of the largest: what the witness, too, cannot tell from zero
const char* const kSmallest = ", lambda_min, relative";

Linearization<double> at_twin(const Draw& draw, const std::shared_ptr<const Model<double>>& model,
                              std::uint64_t index = 0) {
  Twin twin = make_twin(draw.weights, *draw.data, index);
  return Linearization<double>(model, std::move(twin.weights), std::move(twin.data), {.memory = 0});
}

// ---- neural tangent kernels -------------------------------------------------------------------------------

Index rank_of(const QuadVector& sigma) {
  return std::count_if(sigma.begin(), sigma.end(), [&](Quad x) { return x > Quad(kNone) * sigma[0]; });
}

/// `ways`: other than by conditions, whose bounds are theorems with a width of their own.
void check_minimum(Table& table, const std::string& kind, const KernelMinimum& k, const QuadVector& sigma,
                   bool computed = true) {
  const Quad smallest = sigma.back() * sigma.back(), largest = sigma[0] * sigma[0];
  const Quad known = Quad(kNone) * Quad(kNone) * largest;  // the witness's own rounding
  table.ordered(kind + ", lambda_min upper", smallest, Quad(k.upper) + known);
  table.ordered(kind + ", lambda_min lower", k.lower, smallest + known);
  table.ordered(kind + ", lambda_max upper", largest, k.largest_upper);
  table.ordered(kind + ", lambda_max lower", k.largest_lower, largest);
  if (computed && std::isfinite(k.lambda_max)) {
    table.enclosure(kind + ", lambda_max", k.largest_lower, k.lambda_max, k.largest_upper, largest, largest);
    if (k.lower > 0) table.width(kind + kSmallest, k.lower, k.upper, k.lambda_min);
  }
  if (k.rank >= 0 && !k.proven_by_conditions) table.holds(kind + ", rank", k.rank <= rank_of(sigma));
}

void check_spectrum(Table& table, const NtkSpectrum& s, const QuadVector& sigma) {
  const Quad known = Quad(kNone) * Quad(kNone) * sigma[0] * sigma[0];
  for (Index i = 0; i < s.size(); ++i) {
    table.bound("NTK singular values", abs_of(Quad(s.singular_values[i]) - sigma[i]), s.singular_value_error,
                sigma[0]);
    table.ordered("NTK eigenvalue, lower", s.lower(i), sigma[i] * sigma[i]);
    table.ordered("NTK eigenvalue, upper", sigma[i] * sigma[i], Quad(s.upper(i)) + known);
  }
}

void check_conditions(Table& table, const KernelConditions& c, const QuadVector& sigma) {
  const Quad smallest = sigma.back() * sigma.back(), largest = sigma[0] * sigma[0];
  const Quad known = Quad(kNone) * Quad(kNone) * largest;
  for (const LowerBound& b : c.bounds)
    table.ordered("conditions, lower: " + b.name, b.value, smallest + known);
  table.ordered("conditions, upper", largest, c.upper_bound);
  if (c.refuted()) table.holds("conditions, refuted", sigma.back() <= Quad(1e-15) * sigma[0]);
  if (c.sufficient()) table.holds("conditions, sufficient", sigma.back() > 0);
}

void check_kernels(Table& table, const Draw& draw, const QuadModel& truth) {
  std::vector<std::vector<std::string>> sets;
  if (draw.trained.size() > 1)
    for (const std::string& block : draw.trained) sets.push_back({block});
  sets.push_back(draw.trained);
  std::vector<QuadVector> sigma;
  for (const auto& set : sets)
    sigma.push_back(singular_values_of(columns_of(truth.J, places_of(draw.spec, set))));

  const MeasuredFactors factors = measured_factors(draw.spec, draw.weights, draw.data);
  const InitialisationConditions conditions(factors);
  std::vector<KernelConditions> proven;
  for (std::size_t k = 0; k < sets.size(); ++k) {
    proven.push_back(conditions.of(sets[k]));
    check_conditions(table, proven[k], sigma[k]);
  }
  const AttentionPoint point = {draw.spec, draw.weights, draw.data};
  const auto by = [&](const std::string& method, const MinimaOptions& options) {
    const Minima found = kernel_minima(point, factors, draw.trained, sets, options);
    for (std::size_t k = 0; k < sets.size(); ++k) {
      check_minimum(table, "NTK " + method, found.minima[k], sigma[k]);
      check_minimum(table, "NTK " + method + " and conditions", with_conditions(found.minima[k], proven[k]),
                    sigma[k], false);
      if (found.spectra[k]) check_spectrum(table, *found.spectra[k], sigma[k]);
    }
    return found.minima.back();
  };
  MinimaOptions options;
  options.quick = 0;
  options.use_jacobian = false;
  by("formed", options);
  options.use_jacobian = true;
  by("as large problems", options);
  options.spectra = true;
  const KernelMinimum sum = by("singular values", options);

  const auto model = draw.model();
  const Linearization<double> at(model, draw.weights, draw.data);
  std::vector<Linearization<double>> twins;
  for (std::uint64_t index = 0; index < rounding_twins(at.output_size() * at.theta_size()); ++index)
    twins.push_back(at_twin(draw, model, index));
  const auto single = [&](Index i) {
    const Index n = draw.spec.tokens;
    auto data = std::make_shared<Data<double>>();
    *data = {1, draw.data->X.middleRows(i * n, n), draw.data->Y.middleRows(i * n, n)};
    return attention_factors(draw.spec, draw.weights, data);
  };
  const KernelMinimum free = matrix_free_minimum(at, twins, factors.factors, single).kernel;
  check_minimum(table, "NTK matrix-free", free, sigma.back(), false);
  check_minimum(table, "NTK matrix-free and conditions", with_conditions(free, proven.back()), sigma.back(),
                false);

  const CertificateInput input = certificate_input(draw.spec, draw.weights, *draw.data, at, twins[0],
                                                   with_conditions(sum, proven.back()));
  table.ordered("certificate, s0", input.s0, sigma.back().back() + Quad(kNone) * sigma.back()[0]);
  table.ordered("certificate, S0", sigma.back()[0], input.S0);
  const Quad residual = norm_of(truth.residual);
  table.ordered("certificate, |r0|", residual, input.r0);
  Quad distance = 0;
  for (Index a = 0; a < input.F.rows(); ++a)
    for (Index o = 0; o < input.F.cols(); ++o)
      distance = hypot_of(distance, Quad(input.F(a, o)) - truth.F(a, o));
  table.bound("certificate, outputs", distance, input.F_error, norm_of(truth.F.values));
}

// ---- the Hessian ------------------------------------------------------------------------------------------

void check_counts(Table& table, const EigenvalueCounts& counts, const QuadVector& lambda) {
  const auto below = [&](double x) {
    return std::count_if(lambda.begin(), lambda.end(), [&](Quad l) { return l < Quad(x); });
  };
  const double t = counts.tolerance, r = counts.rounding;
  table.holds("Hessian counts, negative",
              counts.negative >= below(-t - r) && counts.negative <= below(-t + r));
  const Index not_positive = counts.negative + counts.zero;
  table.holds("Hessian counts, zero", not_positive >= below(t - r) && not_positive <= below(t + r) &&
                                          counts.size == counts.positive + not_positive);
}

void check_curvature(Table& table, const Draw& draw, const QuadModel& truth) {
  const auto model = draw.model();
  const Linearization<double> at(model, draw.weights, draw.data), moved = at_twin(draw, model);
  const HessianOperator H(at), H_twin(moved);
  const GaussNewtonOperator G(at), G_twin(moved);
  const DifferenceOperator R(H, G), R_twin(H_twin, G_twin);
  const std::vector<Index> places = places_of(draw.spec, draw.trained);
  const QuadMatrix J = columns_of(truth.J, places), squares = product(transposed(J), J),
                   rest = columns_of(transposed(columns_of(truth.curvature, places)), places);
  QuadMatrix whole = squares;
  for (std::size_t i = 0; i < whole.values.size(); ++i) whole.values[i] += rest.values[i];

  const auto check = [&](const std::string& name, const SelfAdjointOperator& A,
                         const SelfAdjointOperator& twin, const QuadMatrix& true_matrix) {
    const QuadVector lambda = eigenvalues_of(true_matrix);
    const Quad norm = std::max(abs_of(lambda.front()), abs_of(lambda.back()));
    const MeasuredMatrix measured = measured_matrix(A, &twin);
    const EigenResult dense = full_spectrum(measured, true);
    for (std::size_t i = 0; i < lambda.size(); ++i)
      table.bound(name + ", dense", abs_of(Quad(dense.eigenvalues[i].value) - lambda[i]),
                  dense.eigenvalues[i].error_bound, norm);
    check_counts(table, dense_counts(measured, {}, 0), lambda);
  };
  check("Hessian", H, H_twin, whole);
  check("Gauss-Newton matrix", G, G_twin, squares);
  check("residual part", R, R_twin, rest);
}

// ---- loss and gradient ------------------------------------------------------------------------------------

void check_point(Table& table, const Draw& draw, const QuadModel& truth) {
  const auto model = draw.model();
  const Linearization<double> at(model, draw.weights, draw.data);
  const Rounding allowed =
      rounding_at(draw.spec, model, draw.weights, *draw.data, at.loss(), at.outputs(), at.gradient());
  const std::vector<Index> places = places_of(draw.spec, draw.trained);
  Quad distance = 0, norm = 0;
  for (std::size_t p = 0; p < places.size(); ++p) {
    distance = hypot_of(distance, Quad(at.gradient()[static_cast<Index>(p)]) - truth.gradient[places[p]]);
    norm = hypot_of(norm, truth.gradient[places[p]]);
  }
  table.bound("stationary, gradient", distance, allowed.gradient, norm);
  table.bound("stationary, loss", abs_of(Quad(at.loss()) - truth.loss), allowed.loss, truth.loss);
  Quad off = 0;
  for (Index a = 0; a < draw.data->Y.rows(); ++a)
    for (Index o = 0; o < draw.data->Y.cols(); ++o)
      off = hypot_of(off, Quad(at.outputs()(a, o)) - truth.F(a, o));
  table.bound("stationary, residual", off, allowed.residual, norm_of(truth.F.values));
}

/// Attacks with so many draws of each family, from number `first` on.
Table attack(long each, std::uint64_t first, const std::string& only = "") {
  Table table;
  long refused = 0;
  for (const std::string& family : families()) {
    if (!only.empty() && only != family) continue;
    for (std::uint64_t number = first; number < first + static_cast<std::uint64_t>(each); ++number) {
      Draw draw;
      try {
        draw = make_draw(family, number);
        const QuadModel truth = quad_model(draw.spec, draw.weights, *draw.data);
        table.next(draw.name);
        check_kernels(table, draw, truth);
        check_curvature(table, draw, truth);
        check_point(table, draw, truth);
      } catch (const WorkError&) {
        ++refused;  // beyond the range of double precision
      }
    }
  }
  std::printf("refused as not finite: %ld\n", refused);
  return table;
}

/// No bound is broken. Half widths are at most 100 times the errors (medians over the draws, each of which
/// counts with its widest bound and largest error of a kind: a bound of infinity would never be broken); of
/// smallest eigenvalues, which are enclosed to a tolerance of 1e-4, that is what the width is held to.
void judge(const Table& table) {
  table.print();
  for (const auto& [kind, tally] : table.tallies()) {
    CAPTURE(kind, tally.worst_draw, tally.half(), tally.error());
    CHECK(tally.violations == 0);
    if (kind.find(kSmallest) != std::string::npos)
      CHECK(tally.half() <= 1e-4);
    else
      CHECK(tally.looseness() <= 100);
  }
}

}  // namespace

TEST_CASE("attack on bounds: 400 draws over all families", "[.long]") {
  judge(attack(20, 1));
}

TEST_CASE("attack on bounds: 10 000 draws over all families", "[.long]") {
  judge(attack(500, 1000));
}

TEST_CASE("attack on bounds: from the environment", "[.attack]") {
  const auto number = [](const char* name, long otherwise) {
    const char* text = std::getenv(name);
    return text ? std::atol(text) : otherwise;
  };
  const char* only = std::getenv("FAMILY");
  judge(attack(number("EACH", 20), static_cast<std::uint64_t>(number("FIRST", 1)), only ? only : ""));
}
