/// What a problem file holds.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "basin/checkpoint/checkpoint_map.h"
#include "basin/model/attention_model.h"

namespace basin {

/// Weights of an attention layer: W_Q, W_K, W_V (H, D, d) and W_O (H, d, D_out), one after another in C
/// order.
struct AttentionWeights {
  Index heads = 0, head_dim = 0;  ///< H, d
  Vector<double> values;
};

/// A network: kernel and, when known, weights.
struct Network {
  KernelKind kernel = KernelKind::softmax;
  double bandwidth = 0;  ///< sigma; 0 stands for the default
  std::optional<AttentionWeights> weights;
};

/// A network that is described layer by layer, and its weights, of all blocks, when known.
struct DescribedNetwork {
  Architecture architecture;
  std::optional<Vector<double>> weights;
  std::shared_ptr<const CheckpointLayout> checkpoint = {};  ///< where they are from, if that is known
};

struct Problem {
  Index tokens = 0;   ///< n
  Data<double> data;  ///< X: N n x D, Y: N n x D_out, or of other rows where the network has other outputs
  Network network;    ///< one attention layer; where the network is `described`, it is not this one
  std::optional<DescribedNetwork> described;
  std::shared_ptr<const Data<double>> held_out;  ///< data of a described network that are not trained on
  std::optional<Network> teacher;                ///< the network that made the targets
  std::vector<std::string> token_text, sources;  ///< for text: N n words, N file names
  std::vector<std::string> held_out_sources;
  std::int64_t picture = 0;  ///< a sample is one of so many rows of as many pixels; 0: it is none

  Index embedding() const { return data.X.cols(); }  ///< D
  Index outputs() const { return data.Y.cols(); }    ///< D_out
  /// The model of a network on these data.
  AttentionSpec spec(const Network& net, Index heads, Index head_dim) const {
    return {tokens, embedding(), heads, head_dim, outputs(), net.kernel, net.bandwidth};
  }
};

}  // namespace basin
