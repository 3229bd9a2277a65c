#include "common/ntk/network.h"

#include <algorithm>
#include <cmath>

#include "basin/linalg/errors.h"
#include "basin/linalg/memory.h"
#include "basin/model/row_copies.h"
#include "basin/network/attention_spec.h"
#include "basin/ntk/head_rank.h"
#include "basin/ntk/trained_kernel.h"
#include "common/ntk/file.h"
#include "common/ntk/summary.h"

namespace basin::tools {
namespace {

constexpr double kMostOperations = 2e13;  // for singular values of J: some minutes

/// What sizes and copies alone say.
KernelConditions conditions_of(const ModelPoint<double>& point, const Linearization<double>& at,
                               const KernelSet& set, KernelRows rows) {
  KernelConditions c;
  c.blocks = set.name;
  c.upper_bound = kInfinity;
  double parameters = 0;
  for (const std::string& block : set.blocks)
    parameters += static_cast<double>(at.parameters().find(block).block.size());
  const Mask counting = rows == KernelRows::all ? Mask() : at.counting_rows();
  const auto m = static_cast<double>(kernel_size(at, rows));
  const double width =
      static_cast<double>(at.model().network().output().width) - (rows == KernelRows::centred ? 1 : 0);
  const auto add = [&](const char* name, const char* statement, double measured, const std::string& remedy) {
    c.conditions.push_back(
        {name, statement, Role::necessary, measured, m, true, measured >= m ? "" : remedy});
  };
  add("parameters", "as many parameters as outputs", parameters,
      "more parameters or fewer outputs: fewer samples or tokens");
  add("different_rows", "as many outputs of different inputs as outputs",
      width * static_cast<double>(distinct_rows(point, counting)),
      "inputs that differ: equal samples, and in causal networks equal first tokens, have equal outputs");
  if (const auto rank = most_rank_behind_head(at, set.blocks, rows))
    add("head_rank", "rank that the last layer leaves >= outputs", static_cast<double>(*rank),
        "a last layer with as many inputs as outputs, or fewer rows");
  return c;
}

/// All that is found of one kind of rows.
struct Kernels {
  std::vector<KernelAnalysis> kernels;
  std::vector<NtkSpectrum> spectra;  ///< empty: by products
  std::optional<KernelProducts> products;

  const KernelMinimum& sum() const { return kernels.back().minimum; }
};

/// Which method, by what is asked and what fits.
bool takes_jacobian(const Command& command, const Linearization<double>& at, const Setup& setup) {
  const auto method = command.get<std::string>("method");
  if (method == "formed")
    throw InputError("--method formed: kernels are formed of one attention layer's factors; " + setup.input +
                     " is another network: singular-values, matrix-free or auto");
  if (method == "matrix-free") return false;
  const double bytes = trained_jacobian_bytes(at), memory = static_cast<double>(command.memory());
  const auto m = static_cast<double>(at.output_size()), P = static_cast<double>(at.theta_size());
  if (method != "auto") {
    if (bytes > memory)
      throw InputError("--method " + method + " with m = " + std::to_string(at.output_size()) +
                       " outputs and P = " + std::to_string(at.theta_size()) + " parameters needs " +
                       bytes_text(bytes) + ", --memory allows " + bytes_text(memory));
    return true;
  }
  const bool fits = bytes <= memory && 2 * m * std::min(m, P) * std::max(m, P) <= kMostOperations;
  if (!fits)
    command.message("the Jacobian would take " + bytes_text(bytes) +
                    " and its singular values minutes and more: going on matrix-free, with the sum alone");
  return fits;
}

Kernels kernels_of(Command& command, const Setup& setup, const Linearization<double>& at,
                   const TrainedJacobian* J, const std::vector<KernelSet>& sets, KernelRows rows) {
  Kernels found;
  std::vector<KernelMinimum> minima;
  if (J != nullptr) {
    std::vector<std::vector<std::string>> blocks;
    for (const KernelSet& set : sets) blocks.push_back(set.blocks);
    found.spectra = J->spectra(blocks, rows);
    for (std::size_t k = 0; k < sets.size(); ++k) {
      found.spectra[k].name = sets[k].name;
      minima.push_back(minimum_of(found.spectra[k]));
    }
  } else {
    found.products = kernel_by_products(at, rows, command.get<Index>("max-products"), command.seed(),
                                        command.progress("products with the kernel"));
    minima = {found.products->kernel};
  }
  for (const KernelMinimum& minimum : minima) {
    const KernelSet& set = minima.size() == 1 ? sets.back() : sets[found.kernels.size()];
    KernelConditions conditions = conditions_of(setup.point, at, set, rows);
    found.kernels.push_back({with_conditions(minimum, conditions), std::move(conditions)});
  }
  return found;
}

/// Of a loss of classes: what the smallest eigenvalue on residuals says of gradient flow.
std::string rate_text(const Setup& setup, const Linearization<double>& at, const KernelMinimum& centred) {
  const LossFacts& facts = at.loss_facts();
  const auto C = static_cast<double>(at.model().network().output().width);
  const Mask& counting = at.counting_rows();
  const double B = counting.empty()
                       ? static_cast<double>(at.output_size()) / C
                       : static_cast<double>(std::count_if(counting.begin(), counting.end(),
                                                           [](std::uint8_t row) { return row != 0; }));
  double divisor = 1;
  if (facts.average == Average::rows) divisor = B;
  if (facts.average == Average::samples) divisor = static_cast<double>(setup.point.data->samples);
  const double F = at.loss() * divisor;  // no row's loss is more, while the loss falls
  const double kappa = F > 0 ? -std::expm1(-F) / F : 1;
  const double rate = centred.lower * C * kappa * kappa / ((C - 1) * B);
  return "while it stays above " + number_below(centred.lower, 3) +
         ", no point is stationary, and gradient flow has f(t) <= 1 / (1/f(0) + " + number_below(rate, 3) +
         " t): a rate 1/t, as cross-entropy has no minimum to converge to";
}

void say(Command& command, const Kernels& found, const std::string& of) {
  command.say("NTK of " + of + " is " + verdict(found.sum()));
  if (const std::string why = reason(found.kernels.back()); !why.empty()) command.say("  " + why);
  constexpr std::size_t kMostInLines = 12;
  const std::size_t others = found.kernels.size() - 1;
  for (std::size_t k = 0; k < std::min(others, kMostInLines); ++k)
    command.say("  " + found.kernels[k].minimum.name + " alone: " + verdict(found.kernels[k].minimum));
  if (others > kMostInLines)
    command.say("  and " + std::to_string(others - kMostInLines) + " more in the file, /entry/summary");
}

KernelRows rows_of(const Command& command) {
  const auto rows = command.get<std::string>("rows");
  if (rows != "counting" && rows != "all") throw InputError("--rows " + rows + ": expected counting or all");
  return rows == "all" ? KernelRows::all : KernelRows::counting;
}

/// The same with the other kernel of attention.
void compare(Command& command, hdf5::Writer& file, const Setup& setup, const std::vector<KernelSet>& sets,
             const Kernels& here, KernelRows rows) {
  const KernelKind kind = other_kernel(setup.architecture());
  Setup other = setup;
  try {
    other.point.model =
        build<double>(with_kernel(setup.architecture(), kind, 0), setup.parameters().trained());
  } catch (const InputError& error) {
    throw InputError("--compare: " + setup.input + ": " + error.what());
  }
  const std::string theirs = kernel_name(kind);
  command.message("the same with the " + theirs + " kernel ...");
  const Linearization<double> at = other.point.linearize({.memory = command.memory() / 2});
  std::optional<TrainedJacobian> J;
  if (!here.products) J.emplace(at, static_cast<double>(command.memory()));
  const Kernels there = kernels_of(command, other, at, J ? &*J : nullptr, sets, rows);
  command.say("The same weights with the " + theirs + " kernel in every attention: the sum is " +
              verdict(there.sum()));
  for (std::size_t k = 0; k < here.kernels.size(); ++k) {
    const KernelMinimum &a = here.kernels[k].minimum, &b = there.kernels[k].minimum;
    command.say(
        "  " + a.name + ": lambda_min " + short_text(a) + " here, " + short_text(b) + " (" + theirs + ")" +
        (a.known_to(0.1) && b.known_to(0.1) ? ", ratio " + number(a.lambda_min / b.lambda_min, 4) : ""));
  }
  write_kernels(file, "/entry/compared_" + theirs, there.kernels);
}

}  // namespace

void add_network_options(Command& command) {
  command.options.add_options()(
      "rows", po::value<std::string>()->default_value("counting")->value_name("WHICH"),
      "of networks other than one attention layer: outputs that count in the loss (counting), or all");
}

std::string network_kernels(Command& command, hdf5::Writer& file, const Setup& setup,
                            const std::vector<KernelSet>& sets) {
  refuse(command, {"suggest"}, "as the certificate is known of one attention layer under squared loss alone");
  const KernelRows rows = rows_of(command);
  const Linearization<double> at = setup.point.linearize({.memory = command.memory() / 2});
  if (kernel_size(at, rows) < 1) throw InputError(setup.input + ": no row of outputs counts in the loss");
  std::optional<TrainedJacobian> J;
  if (takes_jacobian(command, at, setup)) J.emplace(at, static_cast<double>(command.memory()));
  command.resolve("method", J ? "singular-values" : "matrix-free");
  const TrainedJacobian* jacobian = J ? &*J : nullptr;

  const Kernels found = kernels_of(command, setup, at, jacobian, sets, rows);
  const bool centred = at.loss_facts().centred && at.model().network().output().width > 1;
  const std::string blocks = "the trained blocks on ";
  if (centred) {
    // what residuals see comes first
    const Kernels on_residuals = kernels_of(command, setup, at, jacobian, sets, KernelRows::centred);
    say(command, on_residuals,
        blocks + to_string(KernelRows::centred) + ", where residuals of cross-entropy are,");
    if (on_residuals.sum().lower > 0) command.say("  " + rate_text(setup, at, on_residuals.sum()));
    write_kernels(file, "/entry/centred", on_residuals.kernels);
    command.verdict("positive-definite", on_residuals.sum().positive_definite());
  } else {
    command.verdict("positive-definite", found.sum().positive_definite());
  }
  say(command, found, blocks + to_string(rows));
  write_kernels(file, "/entry/summary", found.kernels);
  write_conditions(file, found.kernels);
  if (!found.spectra.empty()) write_spectra(file, found.spectra);
  file.write("/entry/rows", to_string(rows));
  if (command.get<bool>("compare")) compare(command, file, setup, sets, found, rows);
  command.verdict("certified", false);
  if (found.products)
    command.say("  by " + std::to_string(found.products->products) +
                " products: " + (found.products->converged ? "converged" : "not converged") +
                "; that no eigenvalue is smaller is not proven by products");
  command.say(
      "no certificate: that gradient descent reaches zero loss is proven of one attention layer under "
      "squared loss alone");
  return found.spectra.empty() ? "summary" : "ntk";
}

}  // namespace basin::tools
