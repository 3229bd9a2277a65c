/// One attention layer, described: its shapes, its kernel, the names of its blocks.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "basin/network/architecture.h"
#include "basin/network/attention_options.h"

namespace basin {

enum class KernelKind { softmax, gaussian };

/// Throws InputError unless name is "softmax" or "gaussian".
KernelKind kernel_from_name(const std::string& name);
std::string kernel_name(KernelKind kind);

/// An attention layer: its shapes and its kernel.
struct AttentionSpec {
  Index tokens = 0;     ///< n
  Index embedding = 0;  ///< D
  Index heads = 0;      ///< H
  Index head_dim = 0;   ///< d
  Index outputs = 0;    ///< D_out
  KernelKind kernel = KernelKind::softmax;
  double bandwidth = 0;  ///< sigma of the Gaussian kernel; 0 stands for the default, sigma^2 = sqrt(d)
  AttentionOptions options = {};

  Index kv_heads() const { return options.kv_heads != 0 ? options.kv_heads : heads; }
  /// The bandwidth in use; the default makes both kernels scalings of exp(Q K^T / sqrt(d)).
  double sigma() const;
  bool operator==(const AttentionSpec&) const = default;
};

/// Of a layer of type "attention" with all its options (with_defaults), on such inputs. Throws InputError for
/// an unknown kernel or pairing.
AttentionSpec attention_spec(const LayerDescription& layer, Shape input);

/// The network that is this layer alone, under squared loss.
Architecture single_attention(const AttentionSpec& spec);
/// The layer of such a network, with no AttentionOptions: the layer of the paper, of which more is known than
/// of others. Nothing for other networks.
std::optional<AttentionSpec> single_attention(const Architecture& architecture);

/// The same network with this kernel in every attention layer (nothing: each keeps its own), and with this
/// bandwidth in those whose kernel is Gaussian (0: each keeps its own). Throws InputError where there is no
/// layer that it could be for.
Architecture with_kernel(Architecture architecture, std::optional<KernelKind> kernel, double bandwidth);

/// The names of the blocks that every attention has, in order.
std::vector<std::string> attention_blocks();

/// The place of each block in attention_blocks().
enum AttentionBlock : std::size_t { kQ, kK, kV, kO };

/// The blocks of an attention, in order: W_Q (H, D, d), W_K and W_V (kv_heads, D, d), W_O (H, d, D_out), and
/// those there are of b_Q (H, d), b_K and b_V (kv_heads, d), b_O (D_out).
std::vector<ParameterBlock> attention_blocks(const AttentionSpec& spec);

/// Throws InputError for sizes below 1, for a bandwidth that is negative or not finite, and as check_options.
void check_sizes(const AttentionSpec& spec);

}  // namespace basin
