/// basin-ntk: eigenvalues of the neural tangent kernel, block by block, and the conditions they hang on.
#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>

#include "common/setup.h"
#include "linalg/errors.h"
#include "model/twin.h"
#include "ntk/certificate_input.h"
#include "ntk/conditions.h"
#include "ntk/matrix_free.h"

using namespace basin;
using namespace basin::tools;

namespace {

const Introduction kIntroduction = {
    "basin-ntk", "eigenvalues of the neural tangent kernel of each block, and the conditions they hang on",
    "PROBLEM.h5 -o RESULT.h5 [options]",
    R"(The kernel of a block B is K_B = J_B J_B^T (m x m, m = N n D_out), J_B the Jacobian of all outputs in the block.
If the smallest eigenvalue of the sum over the trained blocks is positive along the way, gradient descent
converges to a global minimum at a linear rate. Every smallest eigenvalue comes with a lower and an upper bound,
and with the conditions on sizes and ranks that it hangs on: which hold, which decides, what would have to change.

--method says how:
  singular-values   squares of the singular values of J: all eigenvalues, right to twice as many digits as those of
                    a formed kernel; 8 m P bytes and more
  formed            J J^T made of the layer's factors: both ends of the spectrum, proven by Cholesky
                    factorisations, in a fraction of the time; a kernel whose smallest eigenvalue the rounding
                    of J J^T leaves unknown to 1e-4 goes to singular-values
  matrix-free       products with J and J^T: the smallest eigenvalue of the sum from above, blocks by conditions
                    alone; what is proven from below comes from the conditions
  auto              singular-values if that takes seconds, else formed if it fits in --memory, else matrix-free
What does not fit in --memory is refused, with what it would need.

The certificate says whether gradient descent from these weights is proven to reach zero loss: with which step, at
which rate, within which radius; or by which factor the residual is too large. --suggest looks for the scaling of
the targets, or of one block's weights, at which it would pass.
)",
    R"(  basin-problem teacher -o problem.h5 -N 8 -n 4 -D 64
  basin-ntk problem.h5 -o ntk.h5 --kernel gaussian
)"};

// --suggest tries factors up to this on the weights of a block.
constexpr double kLargestGain = 64;

// Operations of the singular values of J that `auto` allows itself: some seconds.
constexpr double kQuick = 1e11;

/// Everything found about one kernel.
struct Kernel {
  KernelMinimum minimum;
  KernelConditions conditions;
};

std::string verdict(const Kernel& kernel) {
  const KernelMinimum& k = kernel.minimum;
  if (k.positive_definite() && k.rank < 0)
    return "positive definite: " + number(k.lower, 4) + " <= lambda_min" +
           (std::isfinite(k.upper) ? " <= " + number(k.upper, 6) : "") + ", the lower bound by conditions";
  if (k.rank < 0 && k.upper > 0)
    return std::isfinite(k.upper) ? "not decided: 0 <= lambda_min <= " + number(k.upper, 6)
                                  : std::string("not decided: no eigenvalues were computed");
  if (k.positive_definite())
    return "positive definite: lambda_min = " + number(k.lambda_min, 10) + " +- " +
           number(std::max(k.upper - k.lambda_min, k.lambda_min - k.lower), 2) +
           ", lambda_max = " + number(k.lambda_max, 10) + ", condition number " +
           number(k.condition_number(), 4);
  return "singular" +
         (k.parameters < k.size ? ", having only " + std::to_string(k.parameters) + " parameters"
          : k.upper > 0         ? " to rounding"
                                : "") +
         ": rank " + (k.rank < 0 ? "less than" : std::to_string(k.rank) + " of") + " " +
         std::to_string(k.size) + ", lambda_min <= " + number(k.upper, 3) +
         ", lambda_max = " + number(k.lambda_max, 10);
}

/// Which condition decides, in words; empty when none does.
std::string reason(const Kernel& kernel) {
  const KernelConditions& c = kernel.conditions;
  if (const Condition* obstacle = c.obstacle())
    return (c.refuted() ? "cannot be: " : "is not, to rounding: ") + obstacle->statement + " fails (" +
           number(obstacle->measured, 10) + " < " + number(obstacle->threshold, 10) + "); it takes " +
           obstacle->remedy;
  if (kernel.minimum.positive_definite() && c.lower_bound() > 0)
    return "must be: the conditions hold, and prove lambda_min >= " + number(c.lower_bound(), 4) +
           (std::isfinite(kernel.minimum.lambda_min)
                ? " (" + number(100 * c.lower_bound() / kernel.minimum.lambda_min, 3) + " % of it)"
                : "");
  for (const Condition& condition : c.conditions)
    if (!condition.holds())
      return std::string("not decided by conditions: ") + condition.statement + " fails (" +
             number(condition.measured, 10) + " < " + number(condition.threshold, 10) + "), which would do";
  return "";
}

void write_spectrum(hdf5::Writer& file, const NtkSpectrum& s, const std::vector<double>& index) {
  const std::string group = "/entry/ntk_" + s.name;
  std::vector<double> value, lower, upper;
  for (Index i = 0; i < s.size(); ++i) {
    value.push_back(s.eigenvalue(i));
    lower.push_back(s.lower(i));
    upper.push_back(s.upper(i));
  }
  hdf5::make_plot(file, group, "eigenvalue", {"index"});
  hdf5::logarithmic_curve(file, group);
  file.attribute(group, "auxiliary_signals", std::vector<std::string>{"lower", "upper"});
  file.write(group + "/eigenvalue", value);
  file.write(group + "/lower", lower);
  file.write(group + "/upper", upper);
  file.write(group + "/index", index);
  file.write(group + "/singular_value", s.singular_values);
  file.write(group + "/singular_value_error", s.singular_value_error);
  file.write(group + "/title",
             "NTK eigenvalues, " + (s.name == "sum" ? "sum of the trained blocks" : s.name));
}

void write_spectra(hdf5::Writer& file, const std::vector<NtkSpectrum>& spectra) {
  std::vector<double> index(spectra.front().size());
  for (std::size_t i = 0; i < index.size(); ++i) index[i] = static_cast<double>(i + 1);
  hdf5::make_plot(file, "/entry/ntk", spectra.back().name, {"index"});
  hdf5::logarithmic_curve(file, "/entry/ntk");
  std::vector<std::string> others;
  for (const NtkSpectrum& s : spectra) {
    write_spectrum(file, s, index);
    file.hard_link("/entry/ntk_" + s.name + "/eigenvalue", "/entry/ntk/" + s.name);
    if (s.name != spectra.back().name) others.push_back(s.name);
  }
  file.write("/entry/ntk/index", index);
  file.attribute("/entry/ntk", "auxiliary_signals", others);
  file.write("/entry/ntk/title", std::string("NTK eigenvalues of the trained blocks and of their sum"));
}

/// A table: one array for each column, filled row by row.
class Table {
 public:
  Table(hdf5::Writer& file, std::string group) : file_(file), group_(std::move(group)) {
    file_.group(group_, "NXcollection");
  }
  template <class Rows, class Column>
  void column(const std::string& name, const Rows& rows, const Column& column) {
    using Value = std::decay_t<decltype(column(*rows.begin()))>;
    const hdf5::Extent extent = {static_cast<Index>(rows.size())};
    if constexpr (std::is_same_v<Value, bool>) {
      std::vector<std::uint8_t> values;
      for (const auto& row : rows) values.push_back(column(row) ? 1 : 0);
      file_.write_bytes(group_ + "/" + name, values, extent);
    } else if constexpr (std::is_same_v<Value, std::string>) {
      std::vector<std::string> values;
      for (const auto& row : rows) values.push_back(column(row));
      file_.write(group_ + "/" + name, values, extent);
    } else {
      std::vector<std::conditional_t<std::is_same_v<Value, Index>, std::int64_t, double>> values;
      for (const auto& row : rows) values.push_back(column(row));
      file_.write(group_ + "/" + name, values);
    }
  }

 private:
  hdf5::Writer& file_;
  std::string group_;
};

std::string text(Role role) {
  return role == Role::necessary ? "necessary" : role == Role::equivalent ? "equivalent" : "sufficient";
}

void write_tables(hdf5::Writer& file, const std::vector<Kernel>& kernels, const InputRanks& ranks) {
  Table summary(file, "/entry/summary");
  const auto of_minimum = [&](const std::string& name, auto member) {
    summary.column(name, kernels, [&](const Kernel& k) { return k.minimum.*member; });
  };
  of_minimum("block", &KernelMinimum::name);
  of_minimum("method", &KernelMinimum::method);
  of_minimum("lambda_min", &KernelMinimum::lambda_min);
  of_minimum("lambda_min_lower", &KernelMinimum::lower);
  of_minimum("lambda_min_upper", &KernelMinimum::upper);
  of_minimum("lambda_max", &KernelMinimum::lambda_max);
  of_minimum("lambda_max_lower", &KernelMinimum::largest_lower);
  of_minimum("lambda_max_upper", &KernelMinimum::largest_upper);
  of_minimum("rank", &KernelMinimum::rank);
  of_minimum("size", &KernelMinimum::size);
  of_minimum("parameters", &KernelMinimum::parameters);
  summary.column("condition_number", kernels, [](const Kernel& k) { return k.minimum.condition_number(); });
  summary.column("positive_definite", kernels, [](const Kernel& k) { return k.minimum.positive_definite(); });
  summary.column("proven_lower_bound", kernels, [](const Kernel& k) { return k.conditions.lower_bound(); });
  summary.column("reason", kernels, [](const Kernel& k) { return reason(k); });

  struct Row {
    const Kernel* kernel;
    const Condition* condition;
    const LowerBound* bound;
  };
  std::vector<Row> conditions, bounds;
  for (const Kernel& k : kernels) {
    for (const Condition& c : k.conditions.conditions) conditions.push_back({&k, &c, nullptr});
    for (const LowerBound& b : k.conditions.bounds) bounds.push_back({&k, nullptr, &b});
  }
  Table table(file, "/entry/conditions");
  table.column("block", conditions, [](const Row& r) { return r.kernel->minimum.name; });
  table.column("name", conditions, [](const Row& r) { return r.condition->name; });
  table.column("statement", conditions, [](const Row& r) { return r.condition->statement; });
  table.column("role", conditions, [](const Row& r) { return text(r.condition->role); });
  table.column("measured", conditions, [](const Row& r) { return r.condition->measured; });
  table.column("threshold", conditions, [](const Row& r) { return r.condition->threshold; });
  table.column("exact", conditions, [](const Row& r) { return r.condition->exact; });
  table.column("holds", conditions, [](const Row& r) { return r.condition->holds(); });
  table.column("remedy", conditions, [](const Row& r) { return r.condition->remedy; });
  Table lower(file, "/entry/bounds");
  lower.column("block", bounds, [](const Row& r) { return r.kernel->minimum.name; });
  lower.column("name", bounds, [](const Row& r) { return r.bound->name; });
  lower.column("formula", bounds, [](const Row& r) { return r.bound->formula; });
  lower.column("value", bounds, [](const Row& r) { return r.bound->value; });
  lower.column("share_of_lambda_min", bounds, [](const Row& r) {
    const KernelMinimum& k = r.kernel->minimum;
    return k.positive_definite() ? r.bound->value / k.lambda_min : 0.0;
  });
  file.group("/entry/inputs", "NXcollection");
  file.write("/entry/inputs/rank_X", static_cast<std::int64_t>(ranks.plain));
  file.write("/entry/inputs/rank_centred", static_cast<std::int64_t>(ranks.centred));
  file.write("/entry/inputs/rank_constant", static_cast<std::int64_t>(ranks.constant()));
}

/// The trained blocks one by one and their union; with `unions`, all sets of them.
std::vector<std::vector<std::string>> kernel_sets(const ParameterLayout& parameters, bool unions) {
  std::vector<std::string> trained;
  for (const auto& entry : parameters.entries())
    if (entry.trainable()) trained.push_back(entry.block.name);
  std::vector<std::vector<std::string>> sets;
  for (const std::string& block : trained) sets.push_back({block});
  const unsigned all = (1U << trained.size()) - 1;
  for (unsigned mask = 1; unions && mask < all; ++mask) {
    std::vector<std::string> set;
    for (std::size_t b = 0; b < trained.size(); ++b)
      if (mask >> b & 1U) set.push_back(trained[b]);
    if (set.size() > 1) sets.push_back(set);
  }
  sets.push_back(trained);
  return sets;
}

struct Found {
  std::vector<KernelMinimum> minima;          ///< of each set
  std::vector<NtkSpectrum> spectra;           ///< likewise; empty if no Jacobian was made
  std::optional<MatrixFreeMinimum> products;  ///< of the last set
};

/// The factors of sample i alone.
AttentionFactors single_factors(const Setup& setup, Index i) {
  const Index n = setup.description.spec.tokens;
  auto data = std::make_shared<Data<double>>();
  *data = {1, setup.data->X.middleRows(i * n, n), setup.data->Y.middleRows(i * n, n)};
  return attention_factors(setup.description.spec, setup.weights, data);
}

/// By products: the last set alone, unless conditions refute it. The others have their conditions, and W_O
/// its factor.
Found minima_by_products(Command& command, const Setup& setup, const AttentionFactors& factors,
                         const AttentionFactors& twin, const std::vector<std::vector<std::string>>& sets,
                         bool refuted) {
  const Index m = setup.data->Y.size();
  const double needed = matrix_free_bytes(m, setup.data->samples);
  if (needed > static_cast<double>(command.memory()))
    throw InputError("--method matrix-free with m = " + std::to_string(m) + " outputs needs " +
                     bytes_text(needed) + ", --memory allows " +
                     bytes_text(static_cast<double>(command.memory())) + ": fewer samples, or more memory");
  Found found;
  for (const auto& set : sets) {
    KernelMinimum k;
    k.name = set.front();
    for (std::size_t b = 1; b < set.size(); ++b) k.name += "," + set[b];
    k.method = "conditions";
    k.size = m;
    for (const std::string& b : set) k.parameters += setup.parameters().find(b).block.size();
    k.lambda_min = k.lambda_max = std::numeric_limits<double>::quiet_NaN();
    k.upper = k.largest_upper = std::numeric_limits<double>::infinity();
    found.minima.push_back(k.name == "W_O" ? output_minimum(factors, twin) : k);
  }
  MatrixFreeOptions options;
  options.max_products = command.get<Index>("max-products");
  options.seed = command.seed();
  if (options.max_products < 1) throw InputError("--max-products: expected a positive number");
  if (refuted) return found;  // nothing to look for
  const Linearization<double> at = setup.linearize(command.memory());
  found.products = matrix_free_minimum(
      at, setup.linearize_twin(), [&](Index i) { return single_factors(setup, i); }, options,
      command.progress("products with the kernel"));
  found.minima.back() = found.products->kernel;
  return found;
}

/// By singular values of J.
std::vector<NtkSpectrum> spectra_of(Command& command, const Setup& setup,
                                    const std::vector<std::vector<std::string>>& sets) {
  const Index m = setup.data->Y.size();
  const double needed = ntk_bytes(setup.parameters(), m, setup.data->samples);
  if (needed > static_cast<double>(command.memory()))
    throw InputError("--method singular-values with m = " + std::to_string(m) +
                     " outputs and P = " + std::to_string(setup.description.parameters) +
                     " parameters needs " + bytes_text(needed) + ", --memory allows " +
                     bytes_text(static_cast<double>(command.memory())) +
                     ": fewer samples, fewer trained blocks, or more memory");
  // The Jacobian is computed sample by sample: nothing needs to be kept for products.
  const Linearization<double> at = setup.linearize(0);
  Vectors<double> Jt = at.jacobian_transposed(command.progress("Jacobian, samples"));
  const std::vector<double> rounding =
      jacobian_rounding(Jt, setup.linearize_twin(), command.progress("rounding of the Jacobian, samples"));
  command.message("singular values of " + std::to_string(Jt.rows()) + " x " + std::to_string(m) + " ...");
  return ntk_spectra(Jt, setup.parameters(), rounding, sets);
}

Found find_minima(Command& command, const Setup& setup, const AttentionFactors& factors,
                  const AttentionFactors& twin, const std::vector<std::vector<std::string>>& sets,
                  bool refuted) {
  const std::string method = command.get<std::string>("method");
  if (method != "auto" && method != "formed" && method != "singular-values" && method != "matrix-free")
    throw InputError("--method " + method + ": expected auto, formed, singular-values or matrix-free");
  const double m = static_cast<double>(setup.data->Y.size()),
               P = static_cast<double>(setup.description.parameters);
  const double operations = 2 * m * m * P + 4 * m * m * m * static_cast<double>(sets.size());
  Found found;
  if (method == "singular-values" || (method == "auto" && operations <= kQuick)) {
    command.resolve("method", "singular-values");
    found.spectra = spectra_of(command, setup, sets);
    for (const NtkSpectrum& s : found.spectra) found.minima.push_back(minimum_of(s));
    return found;
  }
  const double needed = formed_minima_bytes(setup.data->Y.size());
  const bool fits = needed <= static_cast<double>(command.memory());
  if (method == "matrix-free" || (method == "auto" && !fits)) {
    if (method == "auto")
      command.message("a formed kernel needs " + bytes_text(needed) + ", --memory allows " +
                      bytes_text(static_cast<double>(command.memory())) + ": going on matrix-free");
    command.resolve("method", "matrix-free");
    return minima_by_products(command, setup, factors, twin, sets, refuted);
  }
  command.resolve("method", "formed");
  if (!fits)
    throw InputError("--method formed with m = " + std::to_string(setup.data->Y.size()) + " outputs needs " +
                     bytes_text(needed) + ", --memory allows " +
                     bytes_text(static_cast<double>(command.memory())) + ": fewer samples, or more memory");
  auto minima = formed_minima(factors, twin, sets, 1e-4, command.progress("kernels"));
  if (std::any_of(minima.begin(), minima.end(), [](const auto& k) { return !k; })) {
    command.message(
        "rounding of a formed kernel hides some smallest eigenvalues: going to singular values of J");
    found.spectra = spectra_of(command, setup, sets);
  }
  for (std::size_t k = 0; k < sets.size(); ++k)
    found.minima.push_back(minima[k] ? *minima[k] : minimum_of(found.spectra[k]));
  found.minima.back().name = "sum";
  return found;
}

/// What conditions prove of a kernel whose eigenvalues were not computed.
void apply_conditions(Kernel& kernel) {
  KernelMinimum& k = kernel.minimum;
  k.lower = std::max(k.lower, std::min(k.upper, kernel.conditions.lower_bound()));
  if (kernel.conditions.refuted()) k.upper = k.lambda_min = 0;
}

// ---- the ball certificate ---------------------------------------------------------------------------------

CertificateInput certificate_input(const Setup& setup, const KernelMinimum& sum) {
  return basin::certificate_input(setup.description.spec, setup.weights, *setup.data, setup.linearize(0),
                                  setup.linearize_twin(), sum);
}

std::string verdict(const Certificate& c) {
  if (c.passes)
    return "gradient descent with step " + number(c.step, 4) +
           " converges to zero loss: proven (within radius " + number(c.radius, 3) + ", f shrinks by " +
           number(c.rate, 6) + " each step)";
  if (c.sigma_min == 0)
    return "convergence of gradient descent is not proven: the NTK is not known to be positive definite";
  return "convergence of gradient descent is not proven: |r_0| = " + number(c.residual_norm, 4) +
         " is too large by a factor " + number(1 / c.margin, 4) +
         " (what passes: " + number(c.largest_residual, 3) + ")";
}

void write_certificate(hdf5::Writer& file, const CertificateInput& input, const Certificate& c) {
  const std::string group = "/entry/certificate/";
  file.group("/entry/certificate", "NXcollection");
  file.write_bytes(group + "passes", {static_cast<std::uint8_t>(c.passes ? 1 : 0)}, {});
  const std::pair<const char*, double> numbers[] = {
      {"c", c.c},
      {"sigma_min", c.sigma_min},
      {"sigma_max", c.sigma_max},
      {"residual_norm", c.residual_norm},
      {"radius", c.radius},
      {"curvature", c.curvature},
      {"deviation", c.deviation},
      {"s_star", c.s_star},
      {"beta", c.beta},
      {"step", c.step},
      {"rate", c.rate},
      {"path_length", c.path_length},
      {"largest_residual", c.largest_residual},
      {"margin", c.margin},
      {"xi", input.norms.xi},
      {"xi_centred", input.norms.xi_centred},
      {"chi", input.norms.chi},
      {"chi_centred", input.norms.chi_centred},
      {"rho", input.norms.rho},
      {"existence_residual", largest_residual(input.norms, input.s0, 0)}};
  for (const auto& [name, value] : numbers) file.write(group + name, value);
  const auto per_head = [&](const std::string& name, double HeadNorms::*member) {
    std::vector<double> values;
    for (const HeadNorms& head : input.norms.heads) values.push_back(head.*member);
    file.write(group + name, values);
  };
  per_head("W_V_norm", &HeadNorms::W_V), per_head("W_O_norm", &HeadNorms::W_O);
  per_head("values", &HeadNorms::values), per_head("outputs", &HeadNorms::outputs);
  per_head("keys", &HeadNorms::keys), per_head("queries", &HeadNorms::queries);
  per_head("query", &HeadNorms::query), per_head("mixed", &HeadNorms::mixed);
  std::vector<double> alpha, gamma, delta;
  for (const HeadBound& b : second_derivative_bounds(input.norms, c.radius))
    alpha.push_back(b.alpha), gamma.push_back(b.gamma), delta.push_back(b.delta);
  file.write(group + "alpha", alpha), file.write(group + "gamma", gamma), file.write(group + "delta", delta);
}

/// The certificate with a block's weights multiplied by `gain`.
Certificate certificate_at_gain(const Setup& setup, const std::string& block, double gain) {
  Setup scaled = setup;
  const auto& entry = setup.parameters().find(block);
  scaled.weights.segment(entry.offset, entry.block.size()) *= gain;
  const Linearization<double> at = scaled.linearize(0);
  Vectors<double> Jt = at.jacobian_transposed();
  const std::vector<double> rounding = jacobian_rounding(Jt, scaled.linearize_twin());
  std::vector<std::string> trained;
  for (const auto& e : setup.parameters().entries())
    if (e.trainable()) trained.push_back(e.block.name);
  const KernelMinimum sum = minimum_of(ntk_spectra(Jt, setup.parameters(), rounding, {trained}).back());
  const CertificateInput input = certificate_input(scaled, sum);
  return ball_certificate(input.norms, input.s0, input.S0, input.r0);
}

/// What would make the certificate pass.
void suggest(Command& command, hdf5::Writer& file, const Setup& setup, const CertificateInput& input,
             const Certificate& certificate) {
  const auto scalings =
      target_scalings(input.F, setup.data->Y, certificate.largest_residual * (1 - 1e-9) - input.F_error);
  const double nan = std::numeric_limits<double>::quiet_NaN();
  if (scalings)
    command.say("  targets scaled by " + number(scalings->low, 6) + " to " + number(scalings->high, 6) +
                " would pass");
  else
    command.say("  no scaling of the targets would pass");
  file.write("/entry/certificate/target_scaling",
             scalings ? std::vector<double>{scalings->low, scalings->high} : std::vector<double>{nan, nan});
  if (ntk_bytes(setup.parameters(), setup.data->Y.size(), setup.data->samples) >
      static_cast<double>(command.memory()))
    throw InputError("--suggest needs singular values of J, which do not fit in --memory");
  std::vector<std::string> blocks;
  std::vector<double> gains;
  for (const std::string& block : attention_blocks()) {
    command.message("gain of " + block + " ...");
    const auto gain =
        passing_gain([&](double g) { return certificate_at_gain(setup, block, g); }, kLargestGain);
    command.say("  " + block +
                (gain ? " times " + number(*gain, 6) + " would pass"
                      : ": no factor up to " + number(kLargestGain, 6) + " or down to 1/" +
                            number(kLargestGain, 6) + " would pass"));
    blocks.push_back(block), gains.push_back(gain.value_or(nan));
  }
  file.write("/entry/certificate/gain_block", blocks, {static_cast<Index>(blocks.size())});
  file.write("/entry/certificate/gain", gains);
}

void write_products(hdf5::Writer& file, const MatrixFreeMinimum& found) {
  file.group("/entry/matrix_free", "NXcollection");
  file.write("/entry/matrix_free/residual", found.residual);
  file.write("/entry/matrix_free/products", static_cast<std::int64_t>(found.products));
  file.write_bytes("/entry/matrix_free/converged", {static_cast<std::uint8_t>(found.converged ? 1 : 0)}, {});
}

void body(Command& command) {
  add_model_options(command);
  command.add_memory_option();
  command.options.add_options()  //
      ("method", po::value<std::string>()->default_value("auto")->value_name("METHOD"),
       "auto, formed, singular-values or matrix-free")  //
      ("max-products", po::value<Index>()->default_value(2000)->value_name("COUNT"),
       "products that matrix-free may spend")                                            //
      ("unions", po::bool_switch(), "also the kernels of all unions of trained blocks")  //
      ("suggest", po::bool_switch(), "which scaling of targets or weights would pass the certificate");
  if (!command.parse()) return;
  const Setup setup = read_setup(command);
  hdf5::Writer file(command.output(), command.get<bool>("overwrite"));
  const Twin moved = make_twin(setup.weights, *setup.data);
  const AttentionFactors factors = attention_factors(setup.description.spec, setup.weights, setup.data);
  const AttentionFactors twin = attention_factors(setup.description.spec, moved.weights, moved.data);
  const auto sets = kernel_sets(setup.parameters(), command.get<bool>("unions"));
  const InitialisationConditions conditions(factors, twin);
  std::vector<Kernel> kernels;
  const Progress progress = command.progress("conditions, kernels");
  for (const auto& set : sets) {
    kernels.push_back({{}, conditions.of(set)});
    report(progress, static_cast<Index>(kernels.size()), static_cast<Index>(sets.size()));
  }
  const Found found = find_minima(command, setup, factors, twin, sets, kernels.back().conditions.refuted());
  for (std::size_t k = 0; k < sets.size(); ++k) {
    kernels[k].minimum = found.minima[k];
    if (found.minima[k].rank < 0) apply_conditions(kernels[k]);
  }

  command.say("NTK of the trained blocks is " + verdict(kernels.back()));
  if (const std::string why = reason(kernels.back()); !why.empty()) command.say("  " + why);
  for (std::size_t k = 0; k + 1 < kernels.size(); ++k) {
    command.say("  " + kernels[k].minimum.name + " alone: " + verdict(kernels[k]));
    if (const std::string why = reason(kernels[k]); !why.empty()) command.say("    " + why);
  }
  const CertificateInput input = certificate_input(setup, kernels.back().minimum);
  const bool bounded = std::isfinite(input.S0);
  Certificate certificate;
  if (bounded) {
    certificate = ball_certificate(input.norms, input.s0, input.S0, input.r0);
    command.say("  " + verdict(certificate));
    write_certificate(file, input, certificate);
  } else {
    command.say("  no certificate: matrix-free leaves the largest eigenvalue without an upper bound");
  }
  if (command.get<bool>("suggest")) {
    if (!bounded) throw InputError("--suggest: not with --method matrix-free");
    suggest(command, file, setup, input, certificate);
  }
  if (found.products)
    command.say("  by " + std::to_string(found.products->products) + " products: " +
                (found.products->converged ? "converged" : "not converged") + ", an eigenvalue lies within " +
                number(found.products->residual, 3) + " of " + number(found.minima.back().lambda_min, 6) +
                "; that none is smaller is not proven by products");
  command.say(setup.text());
  if (found.products) write_products(file, *found.products);
  if (!found.spectra.empty()) write_spectra(file, found.spectra);
  write_tables(file, kernels, conditions.ranks());
  write_frame(file, command, setup, kIntroduction.name, "Neural tangent kernel",
              found.spectra.empty() ? "summary" : "ntk");
  file.commit();
}

}  // namespace

int main(int argc, char** argv) {
  return run_tool(kIntroduction, argc, argv, body);
}
