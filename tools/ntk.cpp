/// basin-ntk: eigenvalues of the neural tangent kernel, block by block, and the conditions they hang on.
#include "basin/linalg/errors.h"
#include "basin/linalg/memory.h"
#include "basin/model/attention_model.h"
#include "basin/single_layer/kernel_analysis.h"
#include "common/command/given_weights.h"
#include "common/command/run.h"
#include "common/command/setup.h"
#include "common/command/words.h"
#include "common/ntk/file.h"
#include "common/ntk/layer.h"
#include "common/ntk/network.h"
#include "common/ntk/summary.h"

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

Of other networks kernels come from all singular values of J, or products with it (matrix-free). Under cross-entropy
the NTK is that of logit differences: outputs up to a number added to all classes of a row, which the loss does not
see; basin-slice, basin-sweep and basin-train mean the same one. That of the logits themselves is in the file. Rows of
outputs that count in no loss are left out (--rows all takes all outputs as they are). --layer blocks.1.attention asks
of one layer inside: K = G K_own G^T, K_own being the kernel of its own outputs and G the derivative of the network's
outputs in those, block by block; the conditions on what that layer sees; and with --compare the other kernel in this
layer alone. Where the last layer alone is trained (--train head.*), outputs are linear in it: under squared loss it is
then decided whether gradient descent reaches zero loss.

The certificate says whether gradient descent from these weights is proven to reach zero loss: with which step, at
which rate, within which radius; or by which factor the residual is too large. It is known of one attention layer, and
of a last layer alone, under squared loss; under cross-entropy no point has zero loss. --suggest looks for the scaling
of the targets, or of one block's weights, at which that of one attention layer would pass.
)",
    R"(  basin-problem teacher -o problem.h5 -N 8 -n 4 -D 64
  basin-ntk problem.h5 -o ntk.h5 --kernel gaussian
)"};

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

/// Softmax beside Gaussian attention, kernel by kernel.
void compare(Command& command, hdf5::Writer& file, const Setup& setup,
             const std::vector<std::vector<std::string>>& sets, const NtkAnalysis& here) {
  const Setup other = other_kernel(setup);
  command.message("the same with the " + kernel_name(other.spec().kernel) + " kernel ...");
  const NtkAnalysis there = analyse(command, other, analysis_options(command, other, sets), sets);
  const std::string ours = kernel_name(setup.spec().kernel), theirs = kernel_name(other.spec().kernel);
  command.say("The same weights with the " + theirs + " kernel: the sum is " + verdict(there.sum()));
  say_comparison(command, here.kernels, there.kernels, ours, theirs);
  write_kernels(file, "/entry/compared_" + theirs, there.kernels);
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

void add_options(Command& command) {
  add_model_options(command);
  add_at_option(command);
  add_network_options(command);
  command.add_memory_option();
  command.add_assert_option({{"positive-definite",
                              "the kernel of all trained blocks is, for certain, with lambda_min above "
                              "rounding of lambda_max"},
                             {"certified", "gradient descent from here is proven to reach zero loss"}});
  command.options.add_options()  //
      ("method", po::value<std::string>()->default_value("auto")->value_name("METHOD"),
       "auto, dense, formed, singular-values or matrix-free")  //
      ("kernels", po::value<std::string>()->default_value("blocks")->value_name("WHICH"),
       "sum, blocks (each, and their sum), unions (of all sets of trained blocks), or patterns of blocks, a "
       "kernel "
       "each: 'blocks.0.*,blocks.1.*'")  //
      ("max-products", po::value<Index>()->default_value(2000)->value_name("COUNT"),
       "products that matrix-free may spend")                                           //
      ("compare", po::bool_switch(), "also with the other kernel at the same weights")  //
      ("suggest", po::bool_switch(), "which scaling of targets or weights would pass the certificate");
}

void check_options(const Command& command) {
  const std::string method = command.get<std::string>("method");
  if (method != "auto" && method != "dense" && method != "formed" && method != "singular-values" &&
      method != "matrix-free")
    throw InputError("--method " + method + ": expected auto, dense, formed, singular-values or matrix-free");
  if (command.get<Index>("max-products") < 1)
    throw InputError("--max-products " + command.text("max-products") + ": expected a positive number");
}

void say_products(Command& command, const MatrixFreeMinimum& found) {
  command.say("  by " + std::to_string(found.products) +
              " products: " + (found.converged ? "converged" : "not converged") +
              ", an eigenvalue lies within " + number(found.residual, 3) + " of " +
              number(found.kernel.lambda_min, 6) + "; that none is smaller is not proven by products");
}

void body(Command& command) {
  add_options(command);
  if (!command.parse()) return;
  check_options(command);
  const Setup setup = read_setup_at(command);
  const std::vector<KernelSet> named =
      kernel_sets_of(setup.parameters(), command.get<std::string>("kernels"));
  hdf5::Writer file(command.output(), command.get<bool>("overwrite"));
  if (!setup.single_attention()) {
    const std::string picture = command.given("layer") ? layer_kernels(command, file, setup)
                                                       : network_kernels(command, file, setup, named);
    command.say(setup.text());
    write_frame(file, command, setup, kIntroduction.name, "Neural tangent kernel", picture);
    return file.commit();
  }
  refuse(command, {"rows"}, "of one attention layer, of which all rows count");
  refuse(command, {"layer"}, "where the network is one layer, which is analysed without it");
  std::vector<std::vector<std::string>> sets;
  for (const KernelSet& set : named) sets.push_back(set.blocks);

  const NtkAnalysisOptions options = analysis_options(command, setup, sets);
  const NtkAnalysis found = analyse(command, setup, options, sets);
  say_kernels(command, found.kernels, "NTK of the trained blocks", "", true);
  const CertificateInput input = certificate_input(setup.point, found.sum());
  const Certificate certificate = ball_certificate(input);
  command.say("  " + verdict(certificate, found.sum()));
  write_certificate(file, input, certificate);
  if (command.get<bool>("suggest"))
    suggest(command, file, setup, minima_options(options), found.sum(), input, certificate);
  if (found.products) say_products(command, *found.products);
  write_kernels(file, "/entry/summary", found.kernels);
  write_conditions(file, found.kernels);
  write_ranks(file, found.ranks);
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
