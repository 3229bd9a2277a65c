/// basin-ntk: eigenvalues of the neural tangent kernel, block by block, and the conditions they hang on.
#include <algorithm>
#include <cmath>
#include <map>

#include "basin/linalg/errors.h"
#include "basin/linalg/memory.h"
#include "basin/model/attention_model.h"
#include "basin/ntk/analysis.h"
#include "common/command/run.h"
#include "common/command/setup.h"
#include "common/ntk/file.h"

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
Four verdicts: positive definite; positive definite in theory only, when lambda_min > 0 is proven, but not above
rounding of lambda_max (eps lambda_max), where gradient descent in double precision cannot see it; not decided;
singular, which is said only of what is exactly so by sizes, copies and zeros.

--method says how:
  singular-values   squares of the singular values of J: all eigenvalues, right to twice as many digits as those of
                    a formed kernel; 8 m P bytes and more
  formed            J J^T made of the layer's factors, enclosed by Cholesky factorisations, in a fraction of the
                    time; rounding of J J^T may leave a smallest eigenvalue open
  matrix-free       products with J and J^T: the smallest eigenvalue of the sum from above, blocks by conditions
                    alone; what is proven from below comes from the conditions
  auto              singular-values if that takes a second; else formed, and the triangular factor of J or its
                    singular values where rounding hides more than 1e-4 and they are affordable; matrix-free if a
                    kernel does not fit in --memory
  dense             as auto, but never matrix-free
What does not fit in --memory is refused, with what it would need. --kernels sum leaves out the blocks alone, which
saves most of the time; --kernels unions adds all sets of blocks. --compare does everything for the other kernel
(softmax or Gaussian) as well, at the same weights, and says what differs.

The certificate says whether gradient descent from these weights is proven to reach zero loss: with which step, at
which rate, within which radius; or by which factor the residual is too large. --suggest looks for the scaling of
the targets, or of one block's weights, at which it would pass.
)",
    R"(  basin-problem teacher -o problem.h5 -N 8 -n 4 -D 64
  basin-ntk problem.h5 -o ntk.h5 --kernel gaussian
)"};

/// The sets of trained blocks that --kernels names.
std::vector<std::vector<std::string>> sets_of(const std::vector<std::string>& trained,
                                              const std::string& kernels) {
  const std::map<std::string, KernelSets> names = {
      {"sum", KernelSets::sum}, {"blocks", KernelSets::blocks}, {"unions", KernelSets::unions}};
  const auto which = names.find(kernels);
  if (which == names.end()) throw InputError("--kernels " + kernels + ": expected sum, blocks or unions");
  return kernel_sets(trained, which->second);
}

// ---- smallest eigenvalues ---------------------------------------------------------------------------------

/// Refuses what --memory does not hold.
void check_memory(const Command& command, const std::string& method, const Setup& setup, double needed) {
  const auto memory = static_cast<double>(command.memory());
  if (needed > memory)
    throw InputError("--method " + method + " with m = " + std::to_string(setup.point.data->Y.size()) +
                     " outputs and P = " + std::to_string(setup.point.theta_size()) + " parameters needs " +
                     bytes_text(needed) + ", --memory allows " + bytes_text(memory) +
                     ": fewer samples, fewer trained blocks, or more memory");
}

/// The method that is taken, all it needs being there.
NtkMethod checked_method(Command& command, const Setup& setup,
                         const std::vector<std::vector<std::string>>& sets) {
  const auto needed = [&](NtkMethod method) {
    return analysis_bytes(setup.spec(), setup.point.data->samples, method, sets);
  };
  const auto method = command.get<std::string>("method");
  const double formed = needed(NtkMethod::formed);
  if (method == "formed" || method == "dense") {
    check_memory(command, method, setup, formed);
    return method == "dense" ? NtkMethod::automatic : NtkMethod::formed;
  }
  if (method == "singular-values") {
    check_memory(command, method, setup, needed(NtkMethod::singular_values));
    return NtkMethod::singular_values;
  }
  if (method == "auto" && formed <= static_cast<double>(command.memory())) return NtkMethod::automatic;
  check_memory(command, "matrix-free", setup, needed(NtkMethod::matrix_free));
  if (method == "auto")
    command.message("a formed kernel needs " + bytes_text(formed) + ", --memory allows " +
                    bytes_text(static_cast<double>(command.memory())) + ": going on matrix-free");
  return NtkMethod::matrix_free;
}

std::string name_of(NtkMethod method, bool all_eigenvalues) {
  switch (method) {
    case NtkMethod::matrix_free:
      return "matrix-free";
    case NtkMethod::automatic:
      return all_eigenvalues ? "singular-values" : "formed";
    default:
      return method == NtkMethod::formed ? "formed" : "singular-values";
  }
}

NtkAnalysisOptions analysis_options(Command& command, const Setup& setup,
                                    const std::vector<std::vector<std::string>>& sets) {
  NtkAnalysisOptions options;
  options.method = checked_method(command, setup, sets);
  options.memory = static_cast<double>(command.memory());
  options.matrix_free.max_products = command.get<Index>("max-products");
  options.matrix_free.seed = command.seed();
  options.products_memory = command.memory();
  options.note = [&](const std::string& line) { command.message(line); };
  options.progress = [&](const std::string& work) { return command.progress(work); };
  return options;
}

NtkAnalysis analyse(Command& command, const Setup& setup, const NtkAnalysisOptions& options,
                    const std::vector<std::vector<std::string>>& sets) {
  NtkAnalysis found = analyse_ntk(setup.point, sets, options);
  command.resolve("method", name_of(options.method, found.has_all_eigenvalues()));
  return found;
}

/// The same weights and data under the other kernel, with its default bandwidth.
Setup other_kernel(const Setup& setup) {
  Setup other = setup;
  AttentionSpec spec = setup.spec();
  spec.kernel = spec.kernel == KernelKind::softmax ? KernelKind::gaussian : KernelKind::softmax;
  spec.bandwidth = 0;
  other.point.model = build_single_attention<double>(spec, setup.parameters().trained());
  return other;
}

// ---- in words ---------------------------------------------------------------------------------------------

std::string largest(const KernelMinimum& k) {
  if (!std::isfinite(k.lambda_max) || k.largest_lower == 0)  // not known, or underflown
    return std::isfinite(k.largest_upper) ? ", lambda_max <= " + number_above(k.largest_upper, 4) : "";
  const bool enclosed = k.largest_upper - k.largest_lower <= 1e-3 * k.lambda_max;
  return ", lambda_max " +
         (enclosed ? "= " + number(k.lambda_max, 10) : ">= " + number_below(k.largest_lower, 4));
}

/// "lambda_min = 1.83 +- 2e-07", or what is known of it.
std::string smallest(const KernelMinimum& k) {
  if (k.known_to(0.1))
    return "lambda_min = " +
           with_error(k.lambda_min, std::max(k.upper - k.lambda_min, k.lambda_min - k.lower));
  const std::string upper = std::isfinite(k.upper) ? " <= " + number_above(k.upper, 6) : "";
  if (!k.positive()) return "0 <= lambda_min" + upper;
  return text_below(k.lower_bound(), 4) + " <= lambda_min" + upper +
         (k.proven_by_conditions ? ", the lower bound by conditions" : "");
}

/// What double precision makes of a smallest eigenvalue that is not certainly above rounding.
std::string below_rounding(const KernelMinimum& k) {
  return k.upper <= k.rounding() ? "; below rounding of lambda_max, gradient descent in double precision "
                                   "cannot see it"
         : k.positive()          ? "; whether it is above rounding of lambda_max is not decided"
                                 : "";
}

std::string verdict(const KernelMinimum& k) {
  switch (k.definiteness()) {
    case Definiteness::definite:
      return "positive definite: " + smallest(k) + largest(k) +
             (k.known_to(0.1) ? ", condition number " + number(k.condition_number(), 4) : "");
    case Definiteness::in_theory:
      return "positive definite in theory only: " + smallest(k) + largest(k) + below_rounding(k);
    case Definiteness::undecided:
      if (!std::isfinite(k.upper)) return "not decided: no eigenvalues were computed";
      return "not decided: " +
             (k.rank >= 0 ? "rank at least " + std::to_string(k.rank) + " of " + std::to_string(k.size) + ", "
                          : std::string()) +
             smallest(k) + largest(k) + below_rounding(k);
    case Definiteness::singular:
      break;
  }
  return "singular" +
         (k.parameters < k.size ? ", having only " + std::to_string(k.parameters) + " parameters"
                                : std::string()) +
         ": rank " + (k.rank < 0 || k.rank >= k.size ? "less than" : std::to_string(k.rank) + " of") + " " +
         std::to_string(k.size) + ", lambda_min = 0" + largest(k);
}

void say_kernels(Command& command, const NtkAnalysis& found) {
  command.say("NTK of the trained blocks is " + verdict(found.sum()));
  if (const std::string why = reason(found.kernels.back()); !why.empty()) command.say("  " + why);
  for (std::size_t k = 0; k + 1 < found.kernels.size(); ++k) {
    command.say("  " + found.kernels[k].minimum.name + " alone: " + verdict(found.kernels[k].minimum));
    if (const std::string why = reason(found.kernels[k]); !why.empty()) command.say("    " + why);
  }
}

/// How the eigenvalues were found: "from formed kernel (sum; W_Q), from factor A (W_O)".
std::string methods(const NtkAnalysis& found) {
  std::vector<std::pair<std::string, std::string>> names;  // method, kernels
  for (auto kernel = found.kernels.rbegin(); kernel != found.kernels.rend(); ++kernel) {
    const KernelMinimum& k = kernel->minimum;
    const auto known =
        std::find_if(names.begin(), names.end(), [&](const auto& n) { return n.first == k.method; });
    if (known == names.end())
      names.emplace_back(k.method, k.name);
    else
      known->second += "; " + k.name;
  }
  std::string text;
  for (const auto& [method, kernels] : names)
    text += (text.empty() ? "" : ", ") + (method == "none" ? "by conditions alone" : "from " + method) +
            (names.size() == 1 ? "" : " (" + kernels + ")");
  return text;
}

/// Softmax beside Gaussian attention, kernel by kernel.
void compare(Command& command, hdf5::Writer& file, const Setup& setup,
             const std::vector<std::vector<std::string>>& sets, const NtkAnalysis& here) {
  const Setup other = other_kernel(setup);
  command.message("the same with the " + kernel_name(other.spec().kernel) + " kernel ...");
  const NtkAnalysis there = analyse(command, other, analysis_options(command, other, sets), sets);
  const std::string ours = kernel_name(setup.spec().kernel), theirs = kernel_name(other.spec().kernel);
  command.say("The same weights with the " + theirs + " kernel: the sum is " + verdict(there.sum()));
  for (std::size_t k = 0; k < here.kernels.size(); ++k) {
    const KernelMinimum &a = here.kernels[k].minimum, &b = there.kernels[k].minimum;
    const auto text = [](const KernelMinimum& m) {
      const std::string in_theory = m.positive_definite() ? "" : " (in theory only)";
      if (m.known_to(0.1)) return number(m.lambda_min, 4) + in_theory;
      if (m.positive()) return "at least " + text_below(m.lower_bound(), 4) + in_theory;
      return m.upper == 0             ? std::string("singular")
             : std::isfinite(m.upper) ? "at most " + number(m.upper, 3)
                                      : "not known";
    };
    command.say(
        "  " + a.name + ": lambda_min " + text(a) + " (" + ours + "), " + text(b) + " (" + theirs + ")" +
        (a.known_to(0.1) && b.known_to(0.1) ? ", ratio " + number(a.lambda_min / b.lambda_min, 4) : ""));
  }
  write_kernels(file, "/entry/compared_" + theirs, there.kernels);
}

// ---- the ball certificate ---------------------------------------------------------------------------------

std::string verdict(const Certificate& c, const KernelMinimum& sum) {
  if (c.passes)
    return "gradient descent with step " + number(c.step, 4) +
           " converges to zero loss: proven (within radius " + number(c.radius, 3) +
           "; each step leaves at most " + number(c.rate, 6) + " of f)";
  if (c.sigma_min == 0)
    return std::string("convergence of gradient descent is not proven: ") +
           (sum.positive() ? "the NTK's lambda_min underflows"
                           : "the NTK is not known to be positive definite");
  return "convergence of gradient descent is not proven: |r_0| = " + number(c.residual_norm, 4) +
         " is too large by a factor " + number(1 / c.margin, 4) +
         " (what passes: " + number(c.largest_residual, 3) + ")";
}

/// What would make the certificate pass.
void suggest(Command& command, hdf5::Writer& file, const Setup& setup, const MinimaOptions& minima,
             const KernelMinimum& sum, const CertificateInput& input, const Certificate& certificate) {
  SuggestionOptions options;
  options.minima = minima;
  options.status = command.status();
  const Suggestions found = basin::suggest(setup.point, sum, input, certificate, options);
  command.say(found.targets ? "  targets scaled by " + number(found.targets->low, 6) + " to " +
                                  number(found.targets->high, 6) + " would pass"
                            : "  no scaling of the targets would pass");
  const std::string largest = number(options.largest_gain, 6);
  for (const Suggestions::Gain& g : found.gains)
    command.say("  " + g.block +
                (g.gain ? " times " + number(*g.gain, 6) + " would pass"
                        : ": none of the factors tried would pass, from 1/" + largest + " to " + largest));
  write_suggestions(file, found);
}

void body(Command& command) {
  add_model_options(command);
  command.add_memory_option();
  command.add_assert_option({{"positive-definite",
                              "the kernel of all trained blocks is, for certain, with lambda_min above "
                              "rounding of lambda_max"},
                             {"certified", "gradient descent from here is proven to reach zero loss"}});
  command.options.add_options()  //
      ("method", po::value<std::string>()->default_value("auto")->value_name("METHOD"),
       "auto, dense, formed, singular-values or matrix-free")  //
      ("kernels", po::value<std::string>()->default_value("blocks")->value_name("WHICH"),
       "sum, blocks (each, and their sum) or unions (of all sets of trained blocks)")  //
      ("max-products", po::value<Index>()->default_value(2000)->value_name("COUNT"),
       "products that matrix-free may spend")                                           //
      ("compare", po::bool_switch(), "also with the other kernel at the same weights")  //
      ("suggest", po::bool_switch(), "which scaling of targets or weights would pass the certificate");
  if (!command.parse()) return;
  const std::string method = command.get<std::string>("method");
  if (method != "auto" && method != "dense" && method != "formed" && method != "singular-values" &&
      method != "matrix-free")
    throw InputError("--method " + method + ": expected auto, dense, formed, singular-values or matrix-free");
  if (command.get<Index>("max-products") < 1)
    throw InputError("--max-products " + command.text("max-products") + ": expected a positive number");
  const Setup setup = read_setup(command);
  const auto sets = sets_of(setup.parameters().trained(), command.get<std::string>("kernels"));
  hdf5::Writer file(command.output(), command.get<bool>("overwrite"));

  const NtkAnalysisOptions options = analysis_options(command, setup, sets);
  const NtkAnalysis found = analyse(command, setup, options, sets);
  say_kernels(command, found);
  const CertificateInput input = certificate_input(setup.point, found.sum());
  const Certificate certificate = ball_certificate(input);
  command.say("  " + verdict(certificate, found.sum()));
  write_certificate(file, input, certificate);
  if (command.get<bool>("suggest"))
    suggest(command, file, setup, minima_options(options), found.sum(), input, certificate);
  if (found.products)
    command.say("  by " + std::to_string(found.products->products) + " products: " +
                (found.products->converged ? "converged" : "not converged") + ", an eigenvalue lies within " +
                number(found.products->residual, 3) + " of " + number(found.products->kernel.lambda_min, 6) +
                "; that none is smaller is not proven by products");
  write_kernels(file, "/entry/summary", found.kernels);
  write_conditions(file, found.kernels, found.ranks);
  if (command.get<bool>("compare")) compare(command, file, setup, sets, found);
  command.verdict("positive-definite", found.sum().positive_definite());
  command.verdict("certified", certificate.passes);
  command.say("eigenvalues " + methods(found));
  command.say(setup.text());
  if (found.products) write_products(file, *found.products);
  std::vector<NtkSpectrum> spectra;
  for (const auto& spectrum : found.spectra)
    if (spectrum) spectra.push_back(*spectrum);
  if (found.has_all_eigenvalues()) write_spectra(file, spectra);
  write_frame(file, command, setup, kIntroduction.name, "Neural tangent kernel",
              found.has_all_eigenvalues() ? "ntk" : "summary");
  file.commit();
}

}  // namespace

int main(int argc, char** argv) {
  return run_tool(kIntroduction, argc, argv, body);
}
