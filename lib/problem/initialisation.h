/// Random initial weights.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "basin/problem/problem.h"

namespace basin {

/// How weights are drawn. Every block is seen as the linear map it is in its layer (BlockRole): W_Q, W_K, W_V
/// from D to H d numbers, W_O from H d to D_out. What is added starts at 0, what is multiplied with at 1.
///
///     gaussian     N(0, 1 / fan_in)
///     xavier       U(-a, a), a = sqrt(6 / (fan_in + fan_out))      (Glorot and Bengio, AISTATS 2010)
///     orthogonal   orthonormal columns, or rows if there are fewer; Haar distributed
///                  (Saxe et al., ICLR 2014; by QR with the signs fixed as in Mezzadri, Notices AMS 54, 2007)
///
/// Rows that are looked up have fan_in 1. Each block is drawn from its own stream, so that a block keeps its
/// weights when another changes.
struct Initialisation {
  std::string method = "gaussian";
  /// Factor on a block, or on all that a pattern stands for (matching_blocks); 1 unless given.
  std::map<std::string, double> gains = {};
  std::uint64_t seed = 0;
  std::string stream = "weights";  ///< name of the random stream: a teacher has another than its student
};

/// The weights of all blocks. Throws InputError for an unknown method or block, a gain that is not finite, or
/// two gains for one block.
Vector<double> draw_weights(const std::vector<ParameterBlock>& blocks, const Initialisation& initialisation);

/// Those of one attention layer.
AttentionWeights draw_weights(const AttentionSpec& spec, const Initialisation& initialisation);

}  // namespace basin
