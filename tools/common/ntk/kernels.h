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
/// Throws InputError; expected: what the tool takes.
std::vector<KernelSet> kernel_sets_of(const ParameterLayout& parameters, const std::string& kernels,
                                      const std::string& expected = "sum, blocks, unions, or patterns");

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

/// --rows: all outputs, or those that count, of which logit differences where the loss sees no more
/// (rows_of_loss).
KernelRows rows_of(const Command& command, const Model<double>& model);

/// "on 8 logit differences: ...", for the line below a verdict.
std::string rows_text(const Kernels& found, KernelRows rows);

/// Of a loss of classes: what the smallest eigenvalue on logit differences says of gradient flow.
std::string rate_text(const Linearization<double>& at, const KernelMinimum& centred);

/// Refuses what asks for a certificate where none can be: --suggest of networks, and --assert certified
/// where no point has zero loss.
void refuse_certificate(const Command& command, const Setup& setup);

/// What products do not prove.
void say_products(Command& command, const Kernels& found);

/// What is proven where the last layer alone is trained: of squared loss the certificate, in the file as
/// well; of others that f is convex. False if more is trained. `if_alone`: as if it were, "if head alone were
/// trained: "; or empty.
bool say_last_layer(Command& command, hdf5::Writer& file, const Linearization<double>& at,
                    const KernelMinimum& sum, const std::string& if_alone = {});

}  // namespace basin::tools
