#include "common/ntk/kernels.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "basin/linalg/errors.h"
#include "basin/linalg/memory.h"
#include "basin/ntk/linear_certificate.h"
#include "basin/single_layer/kernel_analysis.h"
#include "common/command/words.h"
#include "common/ntk/summary.h"

namespace basin::tools {
namespace {

constexpr double kMostOperations = 2e13;  // for singular values of J: some minutes

/// Which method, by what is asked and what fits.
bool takes_jacobian(const Command& command, const Linearization<double>& at, const std::string& input) {
  const auto method = command.get<std::string>("method");
  if (method == "formed")
    throw InputError("--method formed: kernels are formed of one attention layer's factors; " + input +
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

ConditionsOf conditions_in(const Linearization<double>& at) {
  return [&at](const KernelSet& set, KernelRows rows) {
    KernelConditions known = network_conditions(at, set.blocks, rows);
    known.blocks = set.name;
    return known;
  };
}

}  // namespace

std::vector<KernelSet> kernel_sets_of(const ParameterLayout& parameters, const std::string& kernels,
                                      const std::string& expected) {
  const std::vector<std::string> trained = parameters.trained();
  std::vector<KernelSet> sets;
  const std::map<std::string, KernelSets> names = {
      {"sum", KernelSets::sum}, {"blocks", KernelSets::blocks}, {"unions", KernelSets::unions}};
  if (const auto which = names.find(kernels); which != names.end()) {
    try {
      for (const auto& blocks : kernel_sets(trained, which->second)) sets.push_back({joined(blocks), blocks});
    } catch (const InputError& error) {
      throw InputError("--kernels " + kernels + ": " + error.what());
    }
    sets.back().name = "sum";
    return sets;
  }
  std::vector<ParameterBlock> blocks;
  for (const std::string& name : trained) blocks.push_back(parameters.find(name).block);
  try {
    for (const std::string& pattern : split(kernels, ','))
      sets.push_back({pattern, matching_blocks(parse_blocks(pattern), blocks)});
  } catch (const InputError& error) {
    throw InputError("--kernels " + kernels + ": expected " + expected +
                     " of trained blocks: " + error.what());
  }
  sets.push_back({"sum", trained});
  return sets;
}

NetworkKernels network_kernels(const TrainedJacobian& J, const std::vector<KernelSet>& sets, KernelRows rows,
                               const ConditionsOf& conditions) {
  NetworkKernels found;
  std::vector<std::vector<std::string>> blocks;
  for (const KernelSet& set : sets) blocks.push_back(set.blocks);
  found.spectra = J.spectra(blocks, rows);
  for (std::size_t k = 0; k < sets.size(); ++k) {
    found.spectra[k].name = sets[k].name;
    KernelConditions known = conditions(sets[k], rows);
    const KernelMinimum minimum = with_conditions(minimum_of(found.spectra[k]), known);
    if (known.upper_bound == 0) {  // what was computed is rounding: J has no columns that count
      found.spectra[k].parameters = 0;
      found.spectra[k].singular_values.setZero();
      found.spectra[k].singular_value_error = 0;
    }
    found.kernels.push_back({minimum, std::move(known)});
  }
  return found;
}

NetworkKernels network_kernels(const Linearization<double>& at, const TrainedJacobian& J,
                               const std::vector<KernelSet>& sets, KernelRows rows) {
  return network_kernels(J, sets, rows, conditions_in(at));
}

KernelSource::KernelSource(Command& command, const std::string& input, const ModelPoint<double>& point)
    : command_(command), at_(point.linearize({.memory = command.memory() / 2})) {
  if (takes_jacobian(command, at_, input)) J_.emplace(at_, static_cast<double>(command.memory()));
}

KernelSource::KernelSource(Command& command, const ModelPoint<double>& point, bool takes_jacobian)
    : command_(command), at_(point.linearize({.memory = command.memory() / 2})) {
  if (takes_jacobian) J_.emplace(at_, static_cast<double>(command.memory()));
}

Kernels KernelSource::kernels(const std::vector<KernelSet>& sets, KernelRows rows,
                              const ConditionsOf& conditions) const {
  if (J_) return {network_kernels(*J_, sets, rows, conditions), {}};
  Kernels found;
  found.products = kernel_by_products(at_, rows, command_.get<Index>("max-products"), command_.seed(),
                                      command_.progress("products with the kernel"));
  KernelConditions known = conditions(sets.back(), rows);
  found.kernels = {{with_conditions(found.products->kernel, known), std::move(known)}};
  return found;
}

Kernels KernelSource::kernels(const std::vector<KernelSet>& sets, KernelRows rows) const {
  return kernels(sets, rows, conditions_in(at_));
}

KernelRows rows_of(const Command& command, const Model<double>& model) {
  const auto rows = command.get<std::string>("rows");
  if (rows != "counting" && rows != "all") throw InputError("--rows " + rows + ": expected counting or all");
  return rows == "all" ? KernelRows::all : rows_of_loss(model);
}

std::string rows_text(const Kernels& found, KernelRows rows) {
  return "on " + std::to_string(found.sum().size) + " " + to_string(rows);
}

void refuse_certificate(const Command& command, const Setup& setup) {
  refuse(command, {"suggest"},
         "as gains of weights are tried for the certificate of one attention layer under squared loss alone");
  const LossFacts& facts = setup.point.model->loss().facts();
  if (!command.given("assert") || facts.attained) return;
  const std::vector<std::string> asserted = split(command.get<std::string>("assert"), ',');
  if (std::find(asserted.begin(), asserted.end(), "certified") != asserted.end())
    throw InputError("--assert certified: " + setup.input + " has a " + facts.name +
                     " loss, which no point brings to zero; expected positive-definite");
}

std::string rate_text(const Linearization<double>& at, const KernelMinimum& centred) {
  const LossFacts& facts = at.loss_facts();
  const auto C = static_cast<double>(at.model().network().output().width);
  const Mask& counting = at.counting_rows();
  const double B = counting.empty()
                       ? static_cast<double>(at.output_size()) / C
                       : static_cast<double>(std::count_if(counting.begin(), counting.end(),
                                                           [](std::uint8_t row) { return row != 0; }));
  double divisor = 1;
  if (facts.average == Average::rows) divisor = B;
  if (facts.average == Average::samples) divisor = static_cast<double>(at.samples());
  const double F = at.loss() * divisor;  // no row's loss is more, while the loss falls
  const double kappa = F > 0 ? -std::expm1(-F) / F : 1;
  const double rate = centred.lower * C * kappa * kappa / ((C - 1) * B);
  return "while it stays above " + number_below(centred.lower, 3) +
         ", no point is stationary, and gradient flow has f(t) <= 1 / (1/f(0) + " + number_below(rate, 3) +
         " t): a rate 1/t, as cross-entropy has no minimum to converge to";
}

void say_products(Command& command, const Kernels& found) {
  if (found.products)
    command.say("  by " + std::to_string(found.products->products) +
                " products: " + (found.products->converged ? "converged" : "not converged") +
                "; that no eigenvalue is smaller is not proven by products");
}

bool say_last_layer(Command& command, hdf5::Writer& file, const Linearization<double>& at,
                    const KernelMinimum& sum, const std::string& if_alone) {
  if (!trains_last_layer_alone(at.model())) return false;
  const std::string alone = if_alone.empty() ? "as the last layer alone is trained: " : if_alone;
  const auto certificate = linear_certificate(at, sum);
  if (!certificate) {
    command.say(alone + (at.loss_facts().convex
                             ? "f is convex in it, and every stationary point is a global minimum"
                             : "the outputs are linear in it, and so this kernel is the same everywhere"));
    return true;
  }
  command.say(alone +
              (certificate->passes
                   ? "gradient descent with step " + number(certificate->step, 4) +
                         " converges to zero loss from anywhere: proven, as this kernel is the same "
                         "everywhere (each step leaves at most " +
                         number_above(certificate->rate, 6) + " of f)"
                   : "f is convex in it, and gradient descent converges to a global minimum; that its loss "
                     "is zero is not proven, as the NTK is not known to be positive definite"));
  command.verdict("certified", certificate->passes);
  const std::string group = "/entry/certificate/";
  file.group("/entry/certificate", "NXcollection");
  file.write_bytes(group + "passes", {static_cast<std::uint8_t>(certificate->passes ? 1 : 0)}, {});
  file.write(group + "step", certificate->step);
  file.write(group + "rate", certificate->rate);
  file.write(group + "loss_curvature", certificate->curvature);
  file.write(group + "curvature", 0.0);
  return true;
}

}  // namespace basin::tools
