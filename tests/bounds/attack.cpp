/// Every bound that a tool prints against a witness of 113 bits, over families of random problems that are
/// hard on rounding: no bound may be broken, and none may be so wide that it says nothing.
#include <catch2/catch.hpp>
#include <deque>

#include "basin/curvature/operators.h"
#include "basin/linalg/errors.h"
#include "basin/model/perturbation.h"
#include "basin/single_layer/certificate_input.h"
#include "basin/single_layer/matrix_free_kernel.h"
#include "basin/single_layer/underflow.h"
#include "basin/spectrum/counts.h"
#include "basin/spectrum/eigenpairs.h"
#include "basin/spectrum/trace.h"
#include "basin/stationary/rounding.h"
#include "bounds/draws.h"
#include "bounds/table.h"
#include "support/loss.h"
#include "support/quad_model.h"

using namespace basin;
using namespace basin::test;

namespace {

constexpr double kNone = 1e-22;  // of the largest: what the witness, too, cannot tell from zero
const char* const kSmallest = ", lambda_min, relative";

// ---- neural tangent kernels -------------------------------------------------------------------------------

/// What the witness knows of the kernel of a set of blocks.
struct Kernel {
  QuadVector sigma;   ///< singular values of J, descending
  Index rank = 0;     ///< of J, its rows scaled to length 1
  bool lost = false;  ///< whether a row is too small even for the witness
};

Kernel kernel_of(QuadMatrix J) {
  const Quad lost = expq(-11000);  // 1e-4777, with 150 decades above its underflow
  Kernel k = {singular_values_of(J), 0, false};
  for (Index i = 0; i < J.rows; ++i) {
    const Quad norm = norm_of({J.row(i), J.row(i) + J.cols});
    k.lost |= norm < lost;
    for (Index p = 0; p < J.cols && norm > 0; ++p) J(i, p) /= norm;
  }
  const QuadVector scaled = singular_values_of(J);
  k.rank = std::count_if(scaled.begin(), scaled.end(), [&](Quad x) { return x > Quad(kNone) * scaled[0]; });
  return k;
}

/// `ways`: other than by conditions, whose bounds are theorems with a width of their own.
void check_minimum(Table& table, const std::string& kind, const KernelMinimum& k, const Kernel& truth,
                   bool computed = true) {
  const QuadVector& sigma = truth.sigma;
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
  if (k.rank >= 0 && !k.proven_by_conditions && !truth.lost)
    table.holds(kind + ", rank", k.rank <= truth.rank);
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

void check_conditions(Table& table, const KernelConditions& c, const Kernel& truth) {
  const QuadVector& sigma = truth.sigma;
  const Quad smallest = sigma.back() * sigma.back(), largest = sigma[0] * sigma[0];
  const Quad known = Quad(kNone) * Quad(kNone) * largest;
  for (const LowerBound& b : c.bounds)
    table.ordered("conditions, lower: " + b.name, b.bound.value, smallest + known);
  table.ordered("conditions, upper", largest, c.upper_bound);
  if (c.refuted() && !truth.lost) table.holds("conditions, refuted", sigma.back() <= Quad(1e-15) * sigma[0]);
  if (c.sufficient() && !truth.lost) table.holds("conditions, sufficient", sigma.back() > 0);
}

void check_kernels(Table& table, const Draw& draw, const QuadModel& truth) {
  std::vector<std::vector<std::string>> sets;
  if (draw.trained().size() > 1)
    for (const std::string& block : draw.trained()) sets.push_back({block});
  sets.push_back(draw.trained());
  std::vector<Kernel> sigma;
  for (const auto& set : sets) sigma.push_back(kernel_of(columns_of(truth.J, places_of(draw.spec, set))));

  const MeasuredFactors factors = measured_factors(draw.point);
  const InitialisationConditions conditions(factors);
  std::vector<KernelConditions> proven;
  for (std::size_t k = 0; k < sets.size(); ++k) {
    proven.push_back(conditions.of(sets[k]));
    check_conditions(table, proven[k], sigma[k]);
  }
  const auto by = [&](const std::string& method, const MinimaOptions& options) {
    const Minima found = kernel_minima(draw.point, factors, sets, options);
    for (std::size_t k = 0; k < sets.size(); ++k) {
      check_minimum(table, "NTK " + method, found.minima[k], sigma[k]);
      check_minimum(table, "NTK " + method + " and conditions", with_conditions(found.minima[k], proven[k]),
                    sigma[k], false);
      if (found.spectra[k]) check_spectrum(table, *found.spectra[k], sigma[k].sigma);
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

  const ModelPoint<double>& point = draw.point;
  const Linearization<double> at = point.linearize();
  const std::vector<Linearization<double>> perturbed = linearize_perturbed(point);
  const auto single = [&](Index i) {
    const Index n = draw.spec.tokens;
    auto data = std::make_shared<Data<double>>();
    *data = {1, point.data->X.middleRows(i * n, n), point.data->Y.middleRows(i * n, n)};
    return attention_factors({point.model, point.weights, data});
  };
  const KernelMinimum free = matrix_free_minimum(at, perturbed, factors.factors, single).kernel;
  check_minimum(table, "NTK matrix-free", free, sigma.back(), false);
  check_minimum(table, "NTK matrix-free and conditions", with_conditions(free, proven.back()), sigma.back(),
                false);

  const CertificateInput input = certificate_input(at, perturbed, with_conditions(sum, proven.back()));
  const QuadVector& of_all = sigma.back().sigma;
  table.ordered("certificate, s0", input.s0, of_all.back() + Quad(kNone) * of_all[0]);
  table.ordered("certificate, S0", of_all[0], input.S0);
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
  const Linearization<double> at = draw.point.linearize();
  const std::vector<Linearization<double>> perturbed = linearize_perturbed(draw.point);
  const double underflow = attention_underflow(draw.point);
  // H, G and H - G of the point, and of each perturbed one.
  struct Operators {
    HessianOperator H;
    GaussNewtonOperator G;
    DifferenceOperator R;
    Operators(const Linearization<double>& point, double below) : H(point, below), G(point, below), R(H, G) {}
  };
  const Operators here(at, underflow);
  std::deque<Operators> there;
  for (const Linearization<double>& moved : perturbed) there.emplace_back(moved, underflow);
  const std::vector<Index> places = places_of(draw.spec, draw.trained());
  const QuadMatrix J = columns_of(truth.J, places), squares = product(transposed(J), J),
                   rest = columns_of(transposed(columns_of(truth.curvature, places)), places);
  QuadMatrix whole = squares;
  for (std::size_t i = 0; i < whole.values.size(); ++i) whole.values[i] += rest.values[i];

  const auto check = [&](const std::string& name, auto Operators::*member, const QuadMatrix& true_matrix) {
    std::vector<const SelfAdjointOperator*> others;
    for (const Operators& moved : there) others.push_back(&(moved.*member));
    const SelfAdjointOperator& A = here.*member;
    const FarthestPerturbed farthest(A, others);
    const QuadVector lambda = eigenvalues_of(true_matrix);
    const Quad norm = std::max(abs_of(lambda.front()), abs_of(lambda.back()));
    const AssembledMatrix assembled = assembled_matrix(A, &farthest);
    const EigenResult dense = full_spectrum(assembled, true);
    for (std::size_t i = 0; i < lambda.size(); ++i)
      table.bound(name + ", eigenvalues", abs_of(Quad(dense.eigenvalues[i].value) - lambda[i]),
                  dense.eigenvalues[i].error_bound, norm);
    check_counts(table, dense_counts(assembled, {}, 0), lambda);
    Quad trace = 0;
    for (Index i = 0; i < true_matrix.rows; ++i) trace += true_matrix(i, i);
    const Quad frobenius = norm_of(true_matrix.values);
    const TraceEstimates traces = traces_of(assembled);
    table.bound(name + ", trace", abs_of(Quad(traces.trace.value) - trace), traces.trace.error, frobenius);
    table.bound(name + ", Frobenius norm", abs_of(Quad(traces.frobenius.value) - frobenius),
                traces.frobenius.error, frobenius);
  };
  check("Hessian", &Operators::H, whole);
  check("Gauss-Newton matrix", &Operators::G, squares);
  check("residual part", &Operators::R, rest);
}

// ---- loss and gradient ------------------------------------------------------------------------------------

void check_point(Table& table, const Draw& draw, const QuadModel& truth) {
  const Linearization<double> at = draw.point.linearize();
  const Rounding allowed = rounding_at(at);
  const std::vector<Index> places = places_of(draw.spec, draw.trained());
  Quad distance = 0, norm = 0;
  for (std::size_t p = 0; p < places.size(); ++p) {
    distance = hypot_of(distance, Quad(at.gradient()[static_cast<Index>(p)]) - truth.gradient[places[p]]);
    norm = hypot_of(norm, truth.gradient[places[p]]);
  }
  table.bound("stationary, gradient", distance, allowed.gradient, norm);
  table.bound("stationary, loss", abs_of(Quad(at.loss()) - truth.loss), allowed.loss, truth.loss);
  Quad off = 0;
  for (Index a = 0; a < draw.point.data->Y.rows(); ++a)
    for (Index o = 0; o < draw.point.data->Y.cols(); ++o)
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
        const QuadModel truth = quad_model(draw.spec, draw.point.weights, *draw.point.data);
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

/// 100, but for traces, whose errors cancel to the last rounding of the value more often than not, and formed
/// kernels, whose errors are measured block by block and added.
double loosest(const std::string& kind) {
  const auto has = [&](const char* part) { return kind.find(part) != std::string::npos; };
  return has(", trace") ? 300 : has("formed") ? 120 : 100;
}

/// No bound is broken. Half widths are at most 100 times the errors (medians over the draws, each of which
/// counts with its widest bound and largest error of a kind: a bound of infinity would never be broken); of
/// smallest eigenvalues, which are enclosed to a tolerance of 1e-4, that is what the width is held to.
/// `scatter`: of medians, where draws are few.
void judge(const Table& table, double scatter = 1) {
  table.print();
  for (const auto& [kind, tally] : table.tallies()) {
    CAPTURE(kind, tally.worst_draw, tally.half(), tally.error());
    CHECK(tally.violations == 0);
    if (kind.find(kSmallest) != std::string::npos)
      CHECK(tally.half() <= 1e-4);
    else
      CHECK(tally.looseness() <= scatter * loosest(kind));
  }
}

}  // namespace

TEST_CASE("attack on bounds: 200 draws over all families", "[many]") {
  judge(attack(10, 1), 1.5);
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
