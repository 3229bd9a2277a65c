#include "common/ntk/network.h"

#include <optional>

#include "basin/linalg/errors.h"
#include "basin/network/attention_spec.h"
#include "common/ntk/file.h"
#include "common/ntk/summary.h"

namespace basin::tools {
namespace {

/// The same weights with the other kernel of attention, whose name is `theirs`.
ModelPoint<double> with_other_kernel(const Setup& setup, std::string& theirs) {
  const KernelKind kind = other_kernel(setup.architecture());
  theirs = kernel_name(kind);
  ModelPoint<double> other = setup.point;
  try {
    other.model = build<double>(with_kernel(setup.architecture(), kind, 0), setup.parameters().trained());
  } catch (const InputError& error) {
    throw InputError("--compare: " + setup.input + ": " + error.what());
  }
  return other;
}

}  // namespace

void add_network_options(Command& command) {
  command.options.add_options()(
      "rows", po::value<std::string>()->default_value("counting")->value_name("WHICH"),
      "of networks other than one attention layer: outputs that count in the loss (counting; under "
      "cross-entropy their differences within a row), or all outputs as they are")(
      "layer", po::value<std::string>()->value_name("PATH"),
      "one attention or linear layer of a network, such as blocks.1.attention: the kernels of W_Q, "
      "W_K, W_V and W_O on the network's outputs and on its own, and the conditions on what it sees");
}

std::string network_kernels(Command& command, hdf5::Writer& file, const Setup& setup,
                            const std::vector<KernelSet>& sets) {
  refuse_certificate(command, setup);
  const KernelRows rows = rows_of(command, *setup.point.model);
  std::optional<ModelPoint<double>> other;
  std::string theirs;
  if (command.get<bool>("compare")) other = with_other_kernel(setup, theirs);
  const KernelSource source(command, setup.input, setup.point);
  const Linearization<double>& at = source.at();
  if (kernel_size(at, rows) < 1) throw InputError(setup.input + ": no row of outputs counts in the loss");
  command.resolve("method", source.has_jacobian() ? "singular-values" : "matrix-free");

  const Kernels found = source.kernels(sets, rows);
  say_kernels(command, found.kernels, "NTK of the trained blocks", rows_text(found, rows), false);
  if (rows == KernelRows::centred && found.sum().lower > 0) command.say("  " + rate_text(at, found.sum()));
  say_products(command, found);
  command.verdict("positive-definite", found.sum().positive_definite());
  write_kernels(file, "/entry/summary", found.kernels);
  write_conditions(file, found.kernels);
  if (!found.spectra.empty()) write_spectra(file, found.spectra);
  file.write("/entry/rows", to_string(rows));
  if (rows == KernelRows::centred && source.has_jacobian()) {
    const Kernels logits = source.kernels(sets, KernelRows::counting);
    command.say(
        "On the logits themselves, with what is added to all classes of a row, which the loss does not see, "
        "it is " +
        verdict(logits.sum()) + "; block by block in the file, /entry/logits");
    write_kernels(file, "/entry/logits", logits.kernels);
  }
  if (other) {
    command.message("the same with the " + theirs + " kernel ...");
    const Kernels there = KernelSource(command, *other, !found.products).kernels(sets, rows);
    command.say("The same weights with the " + theirs + " kernel in every attention" + on_rows(rows) +
                ": the sum is " + verdict(there.sum()));
    const KernelKind ours =
        theirs == kernel_name(KernelKind::softmax) ? KernelKind::gaussian : KernelKind::softmax;
    say_comparison(command, found.kernels, there.kernels, kernel_name(ours), theirs);
    write_kernels(file, "/entry/compared_" + theirs, there.kernels);
  }
  command.verdict("certified", false);
  if ((rows == KernelRows::all || !say_last_layer(command, file, at, found.sum())) &&
      at.loss_facts().attained)
    command.say(
        "no certificate: that gradient descent reaches zero loss is proven of one attention layer, or of a "
        "last layer alone (--train), under squared loss");
  return found.spectra.empty() ? "summary" : "ntk";
}

}  // namespace basin::tools
