/// What sizes, copies and ranks say of the kernels of any network (MATHEMATICS.md, "Any network" and "One
/// layer of a network").
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "basin/ntk/conditions.h"
#include "basin/ntk/layer_maps.h"

namespace basin {

/// Of the kernel of a set of trained blocks: what is exact, by sizes, copies and what outputs never depend
/// on.
KernelConditions network_conditions(const Linearization<double>& at, const std::vector<std::string>& blocks,
                                    KernelRows rows);

/// K = J J^T of all trained blocks on rows_of_loss, called "sum", from the singular values of J, with what
/// network_conditions say. Throws InputError as TrainedJacobian.
KernelMinimum jacobian_kernel_minimum(const Linearization<double>& at, double memory);

/// The maps of one layer, measured: ranks of what they read, and of the derivatives of the outputs in them.
class LayerConditions {
 public:
  /// `derivatives`: D as well, which layer_maps_bytes says the size of. Throws as layer_maps.
  LayerConditions(const ModelPoint<double>& point, const std::string& path, KernelRows rows,
                  bool derivatives);

  const LayerMaps& layer() const { return layer_; }
  /// Whether the outputs of the network are those of the layer.
  bool gives_network_outputs() const { return last_; }
  /// Rank of what each map reads at the layer's real tokens, and the number of these.
  Index rank_of_inputs(std::size_t map) const { return inputs_[map].rank; }
  Index real_tokens() const;

  /// Of the kernel of some maps, by number; without derivatives what sizes say alone. `at` is the point
  /// linearised.
  KernelConditions of(const std::vector<std::size_t>& maps, const Linearization<double>& at) const;

  /// The kernel of these maps from what they read, where they are the outputs of the network.
  std::optional<KernelMinimum> minimum(const std::vector<std::size_t>& maps,
                                       const Linearization<double>& at) const;
  /// The trained blocks of some maps.
  std::vector<std::string> blocks(const std::vector<std::size_t>& maps) const;

 private:
  /// Whether K = (A A^T) (x) I, A being what that map reads at the rows that count.
  bool gives_outputs(const std::vector<std::size_t>& maps) const {
    return last_ && maps.size() == 1 && layer_.maps[maps[0]].gives_outputs;
  }
  MeasuredValues counting_inputs(std::size_t map, const Mask& counting) const;
  /// Tokens of sample i on which its outputs depend through these maps.
  std::vector<Index> seen(const std::vector<std::size_t>& maps, Index i) const;
  /// Rows of what a map reads, at these rows of X.
  MeasuredValues inputs(std::size_t map, const std::vector<Index>& tokens) const;
  KernelConditions of_outputs(std::size_t map, const Mask& counting, KernelConditions c) const;
  void add_choice(const std::vector<std::size_t>& maps, const Mask& counting, KernelConditions& c) const;
  MeasuredValues derivatives(const std::vector<std::size_t>& maps, Index i) const;

  KernelRows rows_;
  LayerMaps layer_;
  std::vector<LayerMaps> perturbed_;
  std::vector<MeasuredValues> inputs_;
  bool last_;
};

}  // namespace basin
