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
///     normal:STD   N(0, STD^2), STD a number
///     xavier       U(-a, a), a = sqrt(6 / (fan_in + fan_out))      (Glorot and Bengio, AISTATS 2010)
///     orthogonal   orthonormal columns, or rows if there are fewer; Haar distributed
///                  (Saxe et al., ICLR 2014; by QR with the signs fixed as in Mezzadri, Notices AMS 54, 2007)
///     pytorch      the defaults of torch.nn (1.13): maps and the biases of linear layers U(-a, a), a = 1 /
///                  sqrt(fan_in); queries, keys and values as nn.MultiheadAttention, a = sqrt(6 / (fan_in + 3
///                  fan_out)), its biases 0; rows that are looked up N(0, 1)
///     gpt2         N(0, 0.02^2); the last map of each of the R residual layers N(0, 0.02^2 / R)
///                  (Radford et al. 2019, as in transformers and nanoGPT)
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

/// The methods, for messages and help: "gaussian, normal:STD, ...".
std::string initialisation_methods();

/// The weights of all blocks. Throws InputError for an unknown method or block, a gain that is not finite, or
/// two gains for one block.
Vector<double> draw_weights(const Architecture& architecture, const Initialisation& initialisation);

/// Multiplies blocks of the weights of a network by gains, as Initialisation::gains. Throws InputError as
/// draw_weights.
void apply_gains(const Architecture& architecture, const std::map<std::string, double>& gains,
                 Vector<double>& weights);

/// Those of one attention layer.
AttentionWeights draw_weights(const AttentionSpec& spec, const Initialisation& initialisation);

}  // namespace basin
