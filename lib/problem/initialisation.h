/// Random initial weights.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "basin/problem/problem.h"

namespace basin {

/// How weights are drawn. Every block is seen as the linear map it is in the layer: W_Q, W_K, W_V from D to H
/// d numbers, W_O from H d to D_out.
///
///     gaussian     N(0, 1 / fan_in)
///     xavier       U(-a, a), a = sqrt(6 / (fan_in + fan_out))      (Glorot and Bengio, AISTATS 2010)
///     orthogonal   orthonormal columns, or rows if there are fewer; Haar distributed
///                  (Saxe et al., ICLR 2014; by QR with the signs fixed as in Mezzadri, Notices AMS 54, 2007)
///
/// Each block is drawn from its own stream, so that a block keeps its weights when another changes.
struct Initialisation {
  std::string method = "gaussian";
  std::map<std::string, double> gains = {};  ///< factor on a block, 1 unless given
  std::uint64_t seed = 0;
  std::string stream = "weights";  ///< name of the random stream: a teacher has another than its student
};

/// Throws InputError for an unknown method or block, or a gain that is not finite.
AttentionWeights draw_weights(const AttentionSpec& spec, const Initialisation& initialisation);

}  // namespace basin
