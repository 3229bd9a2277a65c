/// The two layers that an attention is computed by.
#pragma once

#include <memory>

#include "basin/network/attention_spec.h"
#include "basin/network/tiled_attention.h"

namespace basin {

/// The fast one (network/tiled_attention.h), whose reparametrisation makes its weights of W_Q, W_K, W_V and
/// W_O. Bilinear scores are for an input that never moves. Throws InputError as check_sizes.
template <class S>
std::unique_ptr<const Layer<S>> make_attention(const AttentionSpec& spec, ScoreRules rules);

/// The plain one (network/attention.h), each line a formula: slower, and what the tests compare with; in
/// double and long double. Throws InputError as check_sizes.
template <class S>
std::unique_ptr<const Layer<S>> make_plain_attention(const AttentionSpec& spec);

}  // namespace basin
