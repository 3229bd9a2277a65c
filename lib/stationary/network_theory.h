/// What is known of a network beyond the rules of its layers.
#pragma once

#include <memory>
#include <optional>

#include "basin/curvature/symmetries.h"
#include "basin/model/linearization.h"
#include "basin/ntk/kernel_minimum.h"
#include "basin/stationary/layer_saturation.h"
#include "basin/stationary/point_signature.h"

namespace basin {

/// What search, verdicts and records ask of a network: its symmetries, what counts as a length, when points
/// are the same. This class is what holds of every network; what is known of one in particular derives from
/// it (one attention layer: theory_of in single_layer/theory.h). The points it is asked of are of the network
/// that it was made for, wherever their weights are and whatever is trained.
class NetworkTheory {
 public:
  /// usual: a point whose weights are of a usual size, say those that are stored or drawn.
  explicit NetworkTheory(const ModelPoint<double>& usual) : usual_weights_(usual.weights) {}
  virtual ~NetworkTheory() = default;

  /// Directions along which the loss stays what it is. Of any network: network_symmetries, of a large one
  /// known_symmetries; that there may be others `left_out` says, and those count as zero modes.
  virtual Symmetries symmetries(const ModelPoint<double>& point) const;

  /// How many there are at generic weights, where theory says; nothing if not.
  virtual std::optional<Index> generic_modes(const ModelPoint<double>& point) const;

  /// What results below the range of double precision may take from the products of H and of G with a unit
  /// vector of theta, and from loss and gradient. Of any network that is estimated, not bounded: 2^-1022 for
  /// each operation of a loss, times the tenth power of the largest of inputs, weights, outputs, targets and
  /// gradient (norms, at least 1), as if ten such factors were multiplied to what is lost at most.
  virtual double product_underflow(const Linearization<double>& at) const;

  /// A length of the trained blocks that matters where they are 0. Of any network: what they have at the
  /// usual point; where that is 0, that of weights that keep the size of what they are multiplied to, 1 /
  /// sqrt(rows) each.
  virtual double natural_length(const ModelPoint<double>& point) const;

  /// The ends of K = J J^T of all trained blocks. Of any network: from J, in so many bytes
  /// (jacobian_kernel_minimum); throws InputError where it takes more.
  virtual KernelMinimum trained_kernel(const Linearization<double>& at, double memory) const;

  /// Whether F is known to be affine in the trained blocks together. Of any network: where the last layer
  /// alone is trained (trains_last_layer_alone).
  virtual bool is_linear(const ModelPoint<double>& point) const;

  /// What the point is as a function on the data. Of any network: the outputs.
  virtual PointSignature signature(const ModelPoint<double>& point) const;

  /// How sharp attention is: of the single attention layer; unknown of any other network, which has
  /// layer_saturation.
  virtual Saturation saturation(const ModelPoint<double>& point) const;
  /// The same layer by layer; empty for the single attention layer, whose rows `saturation` has.
  virtual std::vector<LayerSaturation> layer_saturation(const ModelPoint<double>& point) const;

 private:
  Vector<double> usual_weights_;
};

}  // namespace basin
