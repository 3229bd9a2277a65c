/// The layer of an attention.
#pragma once

#include <memory>

#include "basin/network/attention_spec.h"
#include "basin/network/tiled_attention.h"

namespace basin {

/// Tiled (network/tiled_attention.h), with a reparametrisation that makes its weights of W_Q, W_K, W_V and
/// W_O. Bilinear scores are for an input that never moves. Throws InputError as check_sizes.
template <class S>
std::unique_ptr<const Layer<S>> make_attention(const AttentionSpec& spec, ScoreRules rules);

}  // namespace basin
