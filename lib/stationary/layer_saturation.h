/// How sharp attention is, layer by layer (MATHEMATICS.md, "Saturation").
#pragma once

#include <string>
#include <vector>

#include "basin/model/model_point.h"
#include "basin/network/attention_spec.h"

namespace basin {

/// A row that leaves less than this is saturated: about so much is left of its derivative, too.
inline constexpr double kSaturatedRow = 1e-3;

/// One attention layer of a network, over the rows of all its heads that count: those of real tokens that see
/// at least two tokens, or under a Gaussian kernel one, and that matter to an output that counts in the loss
/// (for_each_needed), in layers whose attention moves with the trained blocks. What a row *leaves* is the
/// share of its weights that is not on the heaviest token; under a Gaussian kernel the sum of its weights,
/// all of which may vanish. NaN where no row counts.
struct LayerSaturation {
  std::string layer;  ///< "blocks.0.attention"
  KernelKind kernel = KernelKind::softmax;
  double saturated = kNaN;  ///< share of the rows that leave less than kSaturatedRow
  /// Mean of the entropy of a row over that of uniform attention to the tokens that it sees, of rows that see
  /// two or more: 1 uniform, 0 on one token. (A row of zeros counts as 0.)
  double entropy = kNaN;
  double left = kNaN;                               ///< the least that a row leaves
  double head = kNaN, sample = kNaN, token = kNaN;  ///< the first such row, from 0
  bool moves = false;                               ///< with the trained blocks
  Index heads = 0, tokens = 0;
  /// What each row leaves, NaN of those that do not count: heads x samples x tokens, in this order.
  Vector<double> rows{};

  /// Makes `left` and its place those of this one of `rows`.
  void show(Index row);

  /// visit(name, reference) for all numbers.
  template <class Layer, class Visit>
  static void numbers(Layer& l, const Visit& visit) {
    visit("saturated", l.saturated), visit("entropy", l.entropy), visit("left", l.left);
    visit("head", l.head), visit("sample", l.sample), visit("token", l.token);
  }
};

/// Of every attention layer, in the order in which they are applied; the same for any number of threads.
std::vector<LayerSaturation> layer_saturation(const ModelPoint<double>& point);

/// The attention layers there are, with nothing measured.
std::vector<LayerSaturation> attention_layers(const Model<double>& model);

}  // namespace basin
