/// The kernels of sets of blocks of any network, from its Jacobian or by products.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "basin/ntk/network_conditions.h"
#include "common/command/setup.h"

namespace basin::tools {

/// Blocks whose kernel is asked for, the last time all trained ones ("sum").
struct KernelSet {
  std::string name;  ///< a block, or the pattern that it was asked for by
  std::vector<std::string> blocks;
};

/// The sets that --kernels names, sum, blocks or unions, or that its patterns fit; all trained blocks last.
/// Throws InputError.
std::vector<KernelSet> kernel_sets_of(const ParameterLayout& parameters, const std::string& kernels);

using ConditionsOf = std::function<KernelConditions(const KernelSet&, KernelRows)>;

/// The kernels of these sets on such rows, from all singular values of J, with what is known of them; and
/// their spectra.
struct NetworkKernels {
  std::vector<KernelAnalysis> kernels;
  std::vector<NtkSpectrum> spectra;
};
NetworkKernels network_kernels(const TrainedJacobian& J, const std::vector<KernelSet>& sets, KernelRows rows,
                               const ConditionsOf& conditions);
/// With what holds of every network (network_conditions).
NetworkKernels network_kernels(const Linearization<double>& at, const TrainedJacobian& J,
                               const std::vector<KernelSet>& sets, KernelRows rows);

/// All that is found of one kind of rows.
struct Kernels : NetworkKernels {
  std::optional<KernelProducts> products;  ///< where these took the place of J; then there are no spectra

  const KernelMinimum& sum() const { return kernels.back().minimum; }
};

/// The linearisation that kernels are made of, and its Jacobian where that is taken.
class KernelSource {
 public:
  /// By --method, and what fits in --memory. Throws InputError.
  KernelSource(Command& command, const std::string& input, const ModelPoint<double>& point);
  /// As another one: from the Jacobian, or by products.
  KernelSource(Command& command, const ModelPoint<double>& point, bool takes_jacobian);

  const Linearization<double>& at() const { return at_; }
  bool has_jacobian() const { return J_.has_value(); }

  Kernels kernels(const std::vector<KernelSet>& sets, KernelRows rows, const ConditionsOf& conditions) const;
  /// With what holds of every network.
  Kernels kernels(const std::vector<KernelSet>& sets, KernelRows rows) const;

 private:
  Command& command_;
  Linearization<double> at_;
  std::optional<TrainedJacobian> J_;
};

/// --rows: those that count in the loss, or all.
KernelRows rows_of(const Command& command);

/// Whether residuals add up to 0 over the outputs of a row, so that the rest of a kernel says nothing.
bool is_centred(const Linearization<double>& at);

/// "NTK of `of` is positive definite: ...", why, and the same of the single sets.
void say_kernels(Command& command, const Kernels& found, const std::string& of, bool reasons = false);

/// Of a loss of classes: what the smallest eigenvalue on residuals says of gradient flow.
std::string rate_text(const Linearization<double>& at, const KernelMinimum& centred);

/// What products do not prove.
void say_products(Command& command, const Kernels& found);

/// Kernel by kernel beside those of another kernel of attention, `theirs`.
void say_comparison(Command& command, const Kernels& here, const Kernels& there, const std::string& theirs);

/// What is proven where the last layer alone is trained: of squared loss the certificate, in the file as
/// well; of others that f is convex. False if more is trained.
bool say_last_layer(Command& command, hdf5::Writer& file, const Linearization<double>& at,
                    const KernelMinimum& sum);

}  // namespace basin::tools
