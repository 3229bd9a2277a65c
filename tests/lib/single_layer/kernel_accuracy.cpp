/// Smallest eigenvalues where they are hard to get: J's smallest singular value down to 1e-13 of its largest,
/// and exactly zero. The witness is support/reference.h, or a problem whose singular values are known
/// exactly.
#include <catch2/catch.hpp>

#include "basin/linalg/dense.h"
#include "basin/model/perturbation.h"
#include "basin/single_layer/attention_rounding.h"
#include "basin/single_layer/matrix_free_kernel.h"
#include "support/known_matrix.h"
#include "support/reference.h"

using namespace basin;
using namespace basin::test;

namespace {

const std::vector<std::vector<std::string>> kSets = {{"W_Q"}, {"W_K"},        {"W_V"},
                                                     {"W_O"}, {"W_Q", "W_V"}, attention_blocks()};

// Singular values below are subnormal: nothing is told of their digits.
constexpr double kSmallest = 1e-290;

/// A case whose data and weights may be changed.
struct Problem {
  Case shape;
  ModelPoint<double> instance;
  std::shared_ptr<Data<double>> data;

  explicit Problem(const Case& c, std::uint64_t seed = 1) : shape(c), instance(make_instance(c, seed)) {
    data = std::make_shared<Data<double>>(*instance.data);
    instance.data = data;
  }
  Eigen::Map<Matrix<double>> weights(const std::string& block, Index head) {
    const auto& e = instance.model->parameters().find(block);
    const Index rows = block == "W_O" ? shape.d : shape.D, cols = e.block.size() / shape.H / rows;
    return {instance.weights.data() + e.offset + head * rows * cols, rows, cols};
  }
};

/// All that the library says about a problem.
struct Found {
  Vectors<double> Jt;
  std::vector<NtkSpectrum> spectra;
  std::vector<std::optional<KernelMinimum>> formed;
  Minima chosen;  // by the way that kernel_minima takes for larger problems
};

/// Small problems are treated like large ones: not all singular values at once.
MinimaOptions large_problem() {
  MinimaOptions options;
  options.quick = 0;
  return options;
}

Found found_for(const Problem& p) {
  const Linearization<double> at = p.instance.linearize();
  Found found;
  found.Jt = at.jacobian_transposed();
  const MeasuredFactors factors = measured_factors(p.instance);
  found.formed = formed_minima(factors, kSets);
  found.chosen = kernel_minima(p.instance, factors, kSets, large_problem());
  MinimaOptions whole;
  whole.spectra = true;
  for (auto& spectrum : kernel_minima(p.instance, factors, kSets, whole).spectra)
    found.spectra.push_back(spectrum.value());
  return found;
}

MatrixFreeMinimum products_for(const Problem& p) {
  const auto single = [&](Index i) {
    auto data = std::make_shared<Data<double>>();
    *data = {1, p.data->X.middleRows(i * p.shape.n, p.shape.n),
             p.data->Y.middleRows(i * p.shape.n, p.shape.n)};
    return attention_factors({p.instance.model, p.instance.weights, data});
  };
  std::vector<Linearization<double>> perturbed;
  perturbed.push_back(p.instance.perturbed(0).linearize());
  return matrix_free_minimum(p.instance.linearize(), perturbed, attention_factors(p.instance), single);
}

/// The singular values of J for each of kSets, with 50 digits.
std::vector<RealVector> true_values(const Problem& p) {
  const RealMatrix J = real_jacobian(p.shape.spec(), p.instance.weights, *p.data);
  const Real error = Real("1e-30") * J.norm();
  std::vector<RealVector> values;
  for (const auto& set : kSets)
    values.push_back(real_singular_values(real_columns(J, p.shape.spec(), set), error));
  return values;
}

Index rank_of(const RealVector& values) {
  return (values.array() > Real(0)).count();
}

/// The largest distance of a singular value from the true one, in units of its error bound.
double share_of_bound(const NtkSpectrum& s, const RealVector& truth) {
  double largest = 0;
  for (Index i = 0; i < s.size(); ++i) {
    const auto distance = static_cast<double>(abs(Real(s.singular_values[i]) - truth[i]));
    largest = std::max(largest, distance / (s.singular_value_error + kSmallest));
  }
  return largest;
}

/// lower <= the smallest and the largest eigenvalue <= upper. Eigenvalues up to `unresolved` are zero in
/// `truth`.
void check_encloses(const KernelMinimum& k, const RealVector& truth, const Real& unresolved = 0) {
  const Real smallest = truth[truth.size() - 1] * truth[truth.size() - 1], largest = truth[0] * truth[0];
  CAPTURE(k.name, k.method, k.lower, k.lambda_min, k.upper, truth[truth.size() - 1].convert_to<double>());
  CHECK(k.lambda_min >= 0);
  CHECK(Real(k.lower) <= smallest + unresolved);
  if (k.lower == 0 && k.positive())
    CHECK(pow(Real(10), Real(k.lower_bound().log10)) <= smallest + unresolved);
  CHECK(smallest <= Real(k.upper));
  CHECK(Real(k.largest_lower) <= largest);
  CHECK(largest <= Real(k.largest_upper));
}

/// What must hold for any problem. Returns how far the value of each kernel is off, relatively.
std::vector<double> check_all(const Problem& p, const Found& found, const std::vector<RealVector>& truth) {
  CAPTURE(describe(p.shape));
  std::vector<double> errors;
  for (std::size_t k = 0; k < kSets.size(); ++k) {
    const NtkSpectrum& s = found.spectra[k];
    CAPTURE(s.name, s.singular_value_error);
    CHECK(share_of_bound(s, truth[k]) <= 1);
    CHECK(s.rank() <= rank_of(truth[k]));
    check_encloses(minimum_of(s), truth[k]);
    if (found.formed[k]) {
      check_encloses(*found.formed[k], truth[k]);
      // W_O alone comes from the singular values of A, whatever they are.
      if (s.name != "W_O") CHECK(found.formed[k]->upper - found.formed[k]->lower <= 2e-4 * s.lambda_min());
      if (s.name != "W_O") CHECK(truth[k][0] <= Real(1e8) * truth[k][s.size() - 1]);
    }
    const Real smallest = truth[k][s.size() - 1];
    errors.push_back(smallest > 0 ? static_cast<double>(abs(Real(s.lambda_min()) / (smallest * smallest) - 1))
                                  : 0);
  }
  return errors;
}

double condition(const RealVector& values) {
  return static_cast<double>(values[0] / values[values.size() - 1]);  // infinite if singular
}

/// rows x cols with singular values 1 .. 10^-digits, equally spaced in the logarithm.
Matrix<double> ill_conditioned(Index rows, Index cols, double digits, std::uint64_t seed) {
  const Index rank = std::min(rows, cols);
  Vector<double> sigma = Vector<double>::Ones(rank);
  for (Index i = 1; i < rank; ++i)
    sigma[i] = std::pow(10.0, -digits * static_cast<double>(i) / static_cast<double>(rank - 1));
  return random_orthogonal(rows, seed).leftCols(rank) * sigma.asDiagonal() *
         random_orthogonal(cols, seed + 1).leftCols(rank).transpose();
}

Matrix<double> hadamard4() {
  Matrix<double> H(4, 4);
  H << 1, 1, 1, 1, 1, -1, 1, -1, 1, 1, -1, -1, 1, -1, -1, 1;
  return H;  // H H^T = 4 I
}

}  // namespace

TEST_CASE("the witness: derivatives with 50 digits are those of the library to its last digit") {
  const auto kind = GENERATE(KernelKind::softmax, KernelKind::gaussian);
  for (const Case& c : {Case{"witness", 2, 3, 5, 2, 4, 3, kind}, Case{"witness", 3, 1, 2, 1, 1, 2, kind},
                        Case{"witness, bandwidth", 2, 3, 4, 1, 2, 2, kind, 0.7}}) {
    const Problem p(c);
    const RealMatrix J = real_jacobian(c.spec(), p.instance.weights, *p.data);
    const Vectors<double> Jt = p.instance.linearize().jacobian_transposed();
    CAPTURE(describe(c));
    CHECK((J - Jt.transpose().cast<Real>()).norm() <= Real(1e-15) * J.norm());
  }
}

TEST_CASE("problems whose singular values are known: powers of two down to 2^-43 = 1e-13") {
  // Four tokens x_a = 2^-t_a e_a that attend to themselves alone: one a sample, or by softmax weights that
  // are 1 and 0, as exp(-4 c^2) is 0 in any arithmetic here (c = 2^9). So A_i = I, and with the Hadamard
  // matrix H
  //     A = X W_V = 2^-t H: each singular value 2^-t_a H's, 2;    J_V = X (x) W_O^T: 2^-t_a 2 w_b.
  const bool saturated = GENERATE(true, false);
  const auto kind = GENERATE(KernelKind::softmax, KernelKind::gaussian);
  const Index n = saturated ? 2 : 1;
  Problem p({"powers of two", 4 / n, n, 4, 1, 4, 4, kind});
  const double exponents[] = {0, 7, 30, 43};
  p.data->X.setZero();
  p.instance.weights.setZero();
  p.weights("W_V", 0) = hadamard4();
  const Vector<double> w = Eigen::Vector4d(1, 0.5, 0.25, 0.125);
  p.weights("W_O", 0) = w.asDiagonal() * hadamard4();
  for (Index a = 0; a < 4; ++a) {
    p.data->X(a, a) = std::exp2(-exponents[a]);
    if (!saturated) continue;
    // q_a = k_a = c e_a
    p.weights("W_Q", 0)(a, a) = p.weights("W_K", 0)(a, a) = std::exp2(9 + exponents[a]);
  }
  Vector<double> of_O(16), of_V(16);
  for (Index a = 0; a < 4; ++a)
    for (Index b = 0; b < 4; ++b) {
      of_O[4 * a + b] = 2 * std::exp2(-exponents[a]);
      of_V[4 * a + b] = 2 * std::exp2(-exponents[a]) * w[b];
    }
  std::sort(of_O.data(), of_O.data() + 16, std::greater<>());
  std::sort(of_V.data(), of_V.data() + 16, std::greater<>());

  const Found found = found_for(p);
  const NtkSpectrum &V = found.spectra[2], &O = found.spectra[3];
  CAPTURE(saturated, kernel_name(kind));
  CHECK(share_of_bound(V, of_V.cast<Real>()) <= 1);
  CHECK(share_of_bound(O, of_O.cast<Real>()) <= 1);
  check_encloses(minimum_of(V), of_V.cast<Real>());
  check_encloses(minimum_of(O), of_O.cast<Real>());
  check_encloses(found.formed[3].value(), of_O.cast<Real>());
  CHECK(O.lambda_min() == Approx(std::exp2(-84)).epsilon(1e-2));  // eps / 2^-43 = 0.002, relative, of sigma
  CHECK(found.formed[3]->lambda_min == Approx(std::exp2(-84)).epsilon(1e-2));
  CHECK_FALSE(found.formed[2]);
  // W_Q and W_K: derivatives below the rounding of what they are differences of.
  for (const std::size_t b : {0, 1}) {
    CHECK(found.spectra[b].rank() == 0);
    CHECK(found.spectra[b].lambda_max() <= 1e-200);
  }
}

TEST_CASE("smallest eigenvalues from condition 1 to 1e13: enclosed, and right where J J^T has no digit left",
          "[many]") {
  const auto kind = GENERATE(KernelKind::softmax, KernelKind::gaussian);
  const std::string what = GENERATE("inputs", "W_O", "W_V", "near duplicates");
  Index refused = 0, formed = 0, beyond = 0;
  for (const double digits : {1.0, 3.0, 5.0, 7.0, 8.0, 9.5, 10.5, 13.0}) {
    Case c = {what, 2, 3, 8, 2, 4, 2, kind};
    if (what == "near duplicates") c.token_spread = std::pow(10.0, -digits);
    Problem p(c);
    const Matrix<double> W_V = ill_conditioned(8, 8, digits, 3), right = random_orthogonal(2, 7);
    if (what == "inputs") p.data->X = ill_conditioned(6, 8, digits, 3);
    for (Index h = 0; h < 2; ++h) {
      if (what == "W_V") p.weights("W_V", h) = W_V.middleCols(4 * h, 4);
      // The weak direction is the same in all heads: else one would help the other out.
      if (what == "W_O")
        p.weights("W_O", h) = random_orthogonal(4, 5 + h).leftCols(2) *
                              Eigen::Vector2d(1, std::pow(10.0, -digits)).asDiagonal() * right;
    }
    CAPTURE(what, digits);
    const Found found = found_for(p);
    const std::vector<RealVector> truth = true_values(p);
    const std::vector<double> errors = check_all(p, found, truth);
    for (std::size_t k = 0; k < kSets.size(); ++k) {
      found.formed[k] ? ++formed : ++refused;
      const double cond = condition(truth[k]);
      CAPTURE(found.spectra[k].name, cond, errors[k]);
      check_encloses(found.chosen.minima[k], truth[k]);
      // Tokens that differ by 1e-6 make J_Q and J_K of products of two such differences: these lose the
      // digits that the tokens have in common, and their bounds say so.
      const bool differences = what == "near duplicates" && k < 2;
      if (cond <= 1e10 && !differences) CHECK(errors[k] <= 1e-4);
      if (cond < 1e10) continue;
      ++beyond;
      const Vectors<double> J =
          real_columns(found.Jt.transpose().cast<Real>(), c.spec(), kSets[k]).cast<double>();
      const double naive = symmetric_eigen(J * J.transpose(), false).values[0];
      const Real exact = truth[k][11] * truth[k][11];
      CHECK(abs(Real(naive) - exact) > Real(0.1) * exact);
    }
  }
  CAPTURE(refused, formed, beyond);
  CHECK(formed >= 10);
  CHECK(refused >= (what == "W_V" ? 0 : 10));
  CHECK(beyond >= (what == "W_V" || (what == "inputs" && kind == KernelKind::gaussian) ? 0 : 2));
}

TEST_CASE("the way chosen for large problems is right to 1e-4 up to condition 1e10, too") {
  const auto kind = GENERATE(KernelKind::softmax, KernelKind::gaussian);
  for (const double digits : {3.0, 5.0, 7.0, 8.0, 8.5}) {
    Problem p({"W_O", 2, 3, 8, 2, 4, 2, kind});
    const Matrix<double> right = random_orthogonal(2, 7);
    for (Index h = 0; h < 2; ++h)
      p.weights("W_O", h) = random_orthogonal(4, 5 + h).leftCols(2) *
                            Eigen::Vector2d(1, std::pow(10.0, -digits)).asDiagonal() * right;
    const Found found = found_for(p);
    const std::vector<RealVector> truth = true_values(p);
    for (std::size_t k = 0; k < kSets.size(); ++k) {
      const KernelMinimum& chosen = found.chosen.minima[k];
      const double cond = condition(truth[k]);
      const auto error =
          static_cast<double>(abs(Real(chosen.lambda_min) / (truth[k][11] * truth[k][11]) - 1));
      CAPTURE(kernel_name(kind), digits, chosen.name, chosen.method, cond, chosen.lower, chosen.upper);
      if (cond <= 1e10) CHECK(error <= 1e-4);
    }
  }
}

TEST_CASE("duplicate tokens: rank and verdict are exact") {
  const auto kind = GENERATE(KernelKind::softmax, KernelKind::gaussian);
  const bool some = GENERATE(true, false);  // one pair in the first sample, or all tokens of each sample
  Case c = {"duplicates", 2, 3, 8, 2, 4, 2, kind};
  c.duplicate_tokens = !some;
  Problem p(c);
  if (some) p.data->X.row(1) = p.data->X.row(0);
  const Found found = found_for(p);
  const std::vector<RealVector> truth = true_values(p);
  check_all(p, found, truth);
  for (std::size_t k = 0; k < kSets.size(); ++k) {
    const NtkSpectrum& s = found.spectra[k];
    CAPTURE(some, s.name, s.singular_values.transpose());
    // Equal tokens have equal rows of J, so each pair loses D_out. Softmax over equal tokens does not move
    // with queries and keys at all.
    const Index rank = !some ? (kind == KernelKind::softmax && k < 2 ? 0 : 4) : 10;
    CHECK(rank_of(truth[k]) == rank);
    CHECK(s.rank() == rank);
    CHECK_FALSE(s.positive_definite());
    CHECK(s.lower(11) == 0);
    CHECK(s.upper(11) <= 1e-22 * found.spectra.back().lambda_max());
    if (found.formed[k]) CHECK_FALSE(found.formed[k]->positive_definite());
    if (found.formed[k]) CHECK(found.formed[k]->rank == rank);
    if (s.name != "W_O") CHECK_FALSE(found.formed[k]);
    const KernelMinimum& chosen = found.chosen.minima[k];
    check_encloses(chosen, truth[k]);
    CHECK_FALSE(chosen.positive_definite());
    CHECK(chosen.rank == rank);
  }
}

TEST_CASE("saturated attention: bounds hold where softmax and Gaussian weights leave nothing of J") {
  const auto kind = GENERATE(KernelKind::softmax, KernelKind::gaussian);
  const double scale = GENERATE(1e1, 1e2, 1e3, 1e4);
  for (const double spread : {0.0, 1e-2, 1e-6})
    for (const double distance : {0.0, 1e-2}) {
      Case c = {"saturated", 2, 3, 8, 2, 4, 2, kind};
      c.score_scale = scale, c.token_spread = spread, c.key_distance = distance;
      CAPTURE(scale, spread, distance);
      const Problem p(c);
      check_all(p, found_for(p), true_values(p));
    }
}

TEST_CASE("bounds hold on random draws of small and extreme problems", "[many]") {
  Index kernels = 0, proven = 0;
  double largest = 0;
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    Random random(seed, "accuracy");
    const auto pick = [&](Index low, Index high) {
      return low + static_cast<Index>(random.uniform() * static_cast<double>(high - low + 1));
    };
    Case c = {"draw",     pick(1, 2),
              pick(1, 3), pick(1, 6),
              pick(1, 2), pick(1, 3),
              pick(1, 2), random.uniform() < 0.5 ? KernelKind::softmax : KernelKind::gaussian};
    c.score_scale = std::pow(10.0, 3.5 * random.uniform());
    if (c.kernel == KernelKind::gaussian && random.uniform() < 0.5)
      c.key_distance = std::pow(10.0, -3 * random.uniform());
    if (random.uniform() < 0.3) c.token_spread = std::pow(10.0, -12 * random.uniform());
    c.duplicate_tokens = random.uniform() < 0.1;
    Problem p(c, seed);
    // Round numbers: rounding that happens at none of several perturbed points, and kernels that are exactly
    // singular.
    if (random.uniform() < 0.4) {
      *p.data = {p.data->samples, (4 * p.data->X).array().round() / 4, p.data->Y};
      p.instance.weights = (4 * p.instance.weights).array().round() / 4;
    }
    const Found found = found_for(p);
    const std::vector<RealVector> truth = true_values(p);
    const MeasuredFactors factors = measured_factors(p.instance);
    const InitialisationConditions conditions(factors);
    const Real norm =
        truth.back()[0] *
        sqrt(Real(truth.back().size()));  // at least |J|_F, of which true_values keeps 30 digits
    const Real unresolved = Real("1e-60") * norm * norm;
    for (std::size_t k = 0; k < kSets.size(); ++k) {
      CAPTURE(describe(c), seed, found.spectra[k].name);
      const KernelConditions known = conditions.of(kSets[k]);
      KernelMinimum nothing;  // what conditions prove alone
      nothing.size = found.spectra[k].size();
      nothing.upper = nothing.largest_upper = std::numeric_limits<double>::infinity();
      check_encloses(with_conditions(nothing, known), truth[k], unresolved);
      check_encloses(with_conditions(found.chosen.minima[k], known), truth[k], unresolved);
      if (found.formed[k]) check_encloses(with_conditions(*found.formed[k], known), truth[k], unresolved);
      proven += known.lower_bound().positive();
      const double share = share_of_bound(found.spectra[k], truth[k]);
      CHECK(share <= 1);
      CHECK(found.spectra[k].rank() <= rank_of(truth[k]));
      largest = std::max(largest, share);
      ++kernels;
    }
  }
  CAPTURE(kernels, largest);
  CHECK(proven > 100);
  CHECK(largest > 1e-4);  // the bounds are not void: some error comes near
}

TEST_CASE("vanishing attention is never called singular, and often proven to be positive") {
  // Weights of e^-100 to e^-40000: nothing of it is left in double precision, as a rule. (The witness cannot
  // follow softmax there: its outputs have 50 digits, in which a saturated row does not move.)
  Index proven = 0, underflown = 0, kernels = 0;
  for (std::uint64_t seed = 0; seed < 24; ++seed) {
    Random random(seed, "vanishing");
    Case c = {"vanishing", 1, seed % 3 == 0 ? 1 : 2, 3, 2, 3, 1, KernelKind::gaussian};
    c.score_scale = std::pow(10.0, 2 + 2 * random.uniform());
    Problem p(c, seed);
    const std::vector<RealVector> truth = true_values(p);
    const MeasuredFactors factors = measured_factors(p.instance);
    const InitialisationConditions conditions(factors);
    const Found found = found_for(p);
    for (std::size_t k = 0; k < kSets.size(); ++k) {
      const KernelConditions known = conditions.of(kSets[k]);
      const KernelMinimum m = with_conditions(found.chosen.minima[k], known);
      const Real unresolved = Real("1e-60") * truth[k][0] * truth[k][0];
      CAPTURE(describe(c), seed, m.name, m.lower, m.log10_underflow, m.upper);
      check_encloses(m, truth[k], unresolved);
      const Real smallest = truth[k][truth[k].size() - 1];
      if (smallest > 0) CHECK_FALSE(known.refuted());
      if (smallest > 0) CHECK(m.definiteness() != Definiteness::singular);
      proven += m.positive();
      underflown += m.positive() && m.lower == 0;
      ++kernels;
    }
  }
  CAPTURE(kernels, proven, underflown);
  CHECK(proven > kernels / 4);
  CHECK(underflown > kernels / 8);
}

TEST_CASE("products: the upper bound holds from condition 1 to 1e13") {
  const auto kind = GENERATE(KernelKind::softmax, KernelKind::gaussian);
  for (const double digits : {0.5, 2.0, 4.0, 6.0, 8.0, 10.0, 13.0}) {
    Case c = {"products", 2, 3, 8, 2, 4, 2, kind};
    for (const bool inputs : {true, false}) {
      if (!inputs) c.token_spread = std::pow(10.0, -digits);
      Problem p(c);
      if (inputs) p.data->X = ill_conditioned(6, 8, digits, 3);
      const MatrixFreeMinimum found = products_for(p);
      const RealVector truth = true_values(p).back();
      CAPTURE(kernel_name(kind), digits, inputs, found.kernel.lambda_min, found.kernel.upper, truth[11]);
      CHECK(found.kernel.lambda_min >= 0);
      CHECK(found.kernel.lower == 0);
      CHECK(truth[11] * truth[11] <= Real(found.kernel.upper));
      CHECK(Real(found.kernel.largest_lower) <= truth[0] * truth[0]);
    }
  }
}

TEST_CASE("a preconditioner that overflows is left out") {
  // Gaussian weights that underflow: kernels of samples are about 1e-300.
  Case c = {"underflow", 1, 3, 2, 1, 2, 1, KernelKind::gaussian};
  c.score_scale = 2e3;
  for (std::uint64_t seed = 0; seed < 40; ++seed) {
    const MatrixFreeMinimum found = products_for(Problem(c, seed));
    CHECK(std::isfinite(found.kernel.lambda_min));
  }
}
