#include "common/ntk/network.h"

#include "basin/linalg/errors.h"
#include "basin/network/attention_spec.h"
#include "common/ntk/file.h"
#include "common/ntk/summary.h"

namespace basin::tools {
namespace {

/// The same with the other kernel of attention.
void compare(Command& command, hdf5::Writer& file, const Setup& setup, const std::vector<KernelSet>& sets,
             const Kernels& here, KernelRows rows) {
  const KernelKind kind = other_kernel(setup.architecture());
  ModelPoint<double> other = setup.point;
  try {
    other.model = build<double>(with_kernel(setup.architecture(), kind, 0), setup.parameters().trained());
  } catch (const InputError& error) {
    throw InputError("--compare: " + setup.input + ": " + error.what());
  }
  const std::string theirs = kernel_name(kind);
  command.message("the same with the " + theirs + " kernel ...");
  const Kernels there = KernelSource(command, other, !here.products).kernels(sets, rows);
  command.say("The same weights with the " + theirs + " kernel in every attention: the sum is " +
              verdict(there.sum()));
  say_comparison(command, here, there, theirs);
  write_kernels(file, "/entry/compared_" + theirs, there.kernels);
}

}  // namespace

void add_network_options(Command& command) {
  command.options.add_options()(
      "rows", po::value<std::string>()->default_value("counting")->value_name("WHICH"),
      "of networks other than one attention layer: outputs that count in the loss (counting), or all")(
      "layer", po::value<std::string>()->value_name("PATH"),
      "one attention or linear layer of a network, such as blocks.1.attention: the kernels of its maps on "
      "the "
      "network's outputs and on its own, and the conditions on what it sees");
}

std::string network_kernels(Command& command, hdf5::Writer& file, const Setup& setup,
                            const std::vector<KernelSet>& sets) {
  refuse(command, {"suggest"}, "as the certificate is known of one attention layer under squared loss alone");
  const KernelRows rows = rows_of(command);
  const KernelSource source(command, setup.input, setup.point);
  const Linearization<double>& at = source.at();
  if (kernel_size(at, rows) < 1) throw InputError(setup.input + ": no row of outputs counts in the loss");
  command.resolve("method", source.has_jacobian() ? "singular-values" : "matrix-free");

  const Kernels found = source.kernels(sets, rows);
  const std::string blocks = "the trained blocks on ";
  if (is_centred(at)) {
    // what residuals see comes first
    const Kernels on_residuals = source.kernels(sets, KernelRows::centred);
    say_kernels(command, on_residuals,
                blocks + to_string(KernelRows::centred) + ", where residuals of cross-entropy are,");
    if (on_residuals.sum().lower > 0) command.say("  " + rate_text(at, on_residuals.sum()));
    write_kernels(file, "/entry/centred", on_residuals.kernels);
    command.verdict("positive-definite", on_residuals.sum().positive_definite());
  } else {
    command.verdict("positive-definite", found.sum().positive_definite());
  }
  say_kernels(command, found, blocks + to_string(rows));
  write_kernels(file, "/entry/summary", found.kernels);
  write_conditions(file, found.kernels);
  if (!found.spectra.empty()) write_spectra(file, found.spectra);
  file.write("/entry/rows", to_string(rows));
  if (command.get<bool>("compare")) compare(command, file, setup, sets, found, rows);
  command.verdict("certified", false);
  say_products(command, found);
  if (rows == KernelRows::all || !say_last_layer(command, file, at, found.sum()))
    command.say(
        "no certificate: that gradient descent reaches zero loss is proven of one attention layer, or of a "
        "last layer alone (--train), under squared loss");
  return found.spectra.empty() ? "summary" : "ntk";
}

}  // namespace basin::tools
