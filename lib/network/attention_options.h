/// What attention may have beside heads and a kernel.
#pragma once

#include <string>

#include "basin/linalg/types.h"

namespace basin {

/// Which features of a head rotary positions turn together: i and i + dimensions / 2, or 2 i and 2 i + 1.
enum class RotaryPairing { halves, interleaved };

/// Rotary positions (Su et al., "RoFormer", 2021): the pairs of the first `dimensions` features of the
/// queries and keys of token t = 0, 1, ... are turned by t base^(-2 i / dimensions), i the number of the
/// pair.
struct Rotary {
  Index dimensions = 0;  ///< even, at most d; 0: no rotary positions
  double base = 10000;
  RotaryPairing pairing = RotaryPairing::halves;

  bool operator==(const Rotary&) const = default;
};

struct AttentionOptions {
  Index kv_heads = 0;  ///< of keys and values, each for heads / kv_heads heads in a row; 0: one for each head
  std::string bias =
      {};               ///< which of queries, keys, values and outputs have one: letters of "qkvo", in order
  bool causal = false;  ///< token t sees the tokens 0, ..., t alone
  Rotary rotary = {};

  bool has_bias(char letter) const { return bias.find(letter) != std::string::npos; }
  bool operator==(const AttentionOptions&) const = default;
};

/// Throws InputError for a number of kv_heads that does not divide the heads, letters of a bias that are
/// unknown or out of order, and rotary positions that do not fit the head dimension.
void check_options(const AttentionOptions& options, Index heads, Index head_dim);

}  // namespace basin
