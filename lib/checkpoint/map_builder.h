/// How the map of a family is put together: names of tensors, and the layers that are made of them.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "basin/checkpoint/checkpoint_map.h"
#include "basin/checkpoint/configuration.h"

namespace basin {

/// A layer as data, written in one line.
LayerDescription described(std::string type, std::map<std::string, LayerOption> options = {},
                           std::string name = {}, std::vector<LayerDescription> layers = {});

/// The tensors of a checkpoint by the names that the code of their model gives them: without what wrappers
/// put into them ("_orig_mod.", "module."), and without what the model is a part of.
class TensorNames {
 public:
  /// Throws InputError where two tensors have one name then.
  explicit TensorNames(const Checkpoint& checkpoint);

  /// Looks for a tensor whose name ends with a base and an anchor, bases and then anchors in turn; what
  /// stands before it is the prefix of all that follow. Returns the base that was found, the first if none
  /// is. Throws InputError where several prefixes would do.
  std::string find_prefix(const std::vector<std::string>& bases, const std::vector<std::string>& anchors);
  const std::string& prefix() const { return prefix_; }
  void set_prefix(std::string prefix) { prefix_ = std::move(prefix); }

  bool has(const std::string& name) const { return shape(name) != nullptr; }
  /// Null where there is none.
  const std::vector<Index>* shape(const std::string& name) const;
  /// The name in the file; of a tensor that is not there, what it would be.
  std::string stored(const std::string& name) const;
  /// As many as there are.
  std::size_t count() const { return stored_.size(); }
  const std::string& path() const { return path_; }

 private:
  std::string path_, prefix_;
  std::map<std::string, const StoredTensor*> stored_;  ///< by their names without wrappers
};

/// How linear maps are stored.
enum class Stored { outputs_first, inputs_first };

/// How queries, keys and values are stored: three tensors, or one with all of them below each other, or with
/// those of each head.
enum class Fused { no, thirds, heads };

/// The blocks of a Transformer, one like the other.
struct TransformerBlocks {
  enum class Order {
    pre,       ///< x + attention(norm1(x)), then x + mlp(norm2(x))
    post,      ///< norm1(x + attention(x)), then norm2(x + mlp(x))
    parallel,  ///< x + attention(norm1(x)) + mlp(norm2(x))
  };
  Index layers = 0, width = 0, heads = 0, head_dim = 0, kv_heads = 0;  ///< kv_heads: 0 for as many as heads
  Index hidden = 0;                                                    ///< of the MLP
  std::string activation = "gelu";
  bool gated = false;  ///< activation(gate(x)) * up(x)
  Order order = Order::pre;
  std::map<std::string, LayerOption> norm = {};       ///< options of its norms
  std::map<std::string, LayerOption> attention = {};  ///< further options: causal, kernel, bias, rotary
  bool rms = false, mlp_bias = true, norm_bias = true;
  std::string attention_bias = "qkvo";
  Stored stored = Stored::outputs_first;
  Fused fused = Fused::no;
};

/// The names of a block's tensors, with {i} for its number: of layers, whose tensors are NAME.weight and
/// NAME.bias.
struct BlockNames {
  std::string query, key, value;  ///< not fused
  std::string qkv;                ///< fused; where it ends in '_' ("in_proj_"), "weight" follows at once
  std::string projection, norm1, norm2, in, gate, out;
};

/// A map while it is made.
class MapBuilder {
 public:
  explicit MapBuilder(TensorNames names) : names_(std::move(names)) {}

  TensorNames& names() { return names_; }
  const TensorNames& names() const { return names_; }

  /// A block, from a tensor of this shape.
  void add(const std::string& block, const std::string& tensor, std::vector<Index> shape,
           std::vector<Index> reshape = {}, std::vector<Index> index = {}, std::vector<Index> permute = {});
  /// W and b of a linear layer.
  void add_linear(const std::string& layer, const std::string& tensor, Index inputs, Index outputs, bool bias,
                  Stored stored = Stored::outputs_first);
  /// g and beta of a norm; their tensors may have the old names gamma and beta.
  void add_norm(const std::string& layer, const std::string& tensor, Index width, bool bias);
  /// The repeated layer "blocks", and where its blocks are.
  LayerDescription add_blocks(const TransformerBlocks& of, const BlockNames& names);
  /// A head over the vocabulary without bias: a layer of its own where its tensor is stored and it is not
  /// tied, else the transposed embedding, whose tensor it may be a copy of.
  LayerDescription add_head(const std::string& tensor, const std::string& embedding, Index width,
                            Index vocabulary, bool tied);
  /// A tensor that holds the numbers of another one, if it is there.
  void add_copy(const std::string& copy, const std::string& original);
  /// Tensors that are no parameters: patterns of names.
  void skip(const std::string& pattern) { map_.skipped.push_back(pattern); }

  CheckpointMap take(Architecture architecture);

 private:
  void add_attention(const std::string& layer, const TransformerBlocks& of, const BlockNames& names, Index i);
  void add_fused(const std::string& layer, const TransformerBlocks& of, const std::string& tensor,
                 Index part);

  TensorNames names_;
  CheckpointMap map_;
};

/// Heads and their width: refuses what does not divide.
Index head_dimension(const Configuration& config, const std::string& heads_key, Index heads,
                     const std::string& width_key, Index width);

/// The number of layers, of which each has tensors.
Index layer_count(const Configuration& config, const std::vector<std::string>& keys,
                  const TensorNames& names);

/// Refuses rotary positions of another kind than the usual: `rope_parameters` (returned) and `rope_scaling`.
Configuration default_rope(const Configuration& config);

/// The name that layers here have for an activation, by Hugging Face's: "gelu_new" -> "gelu-tanh".
std::string activation_of(const Configuration& config, const std::vector<std::string>& keys,
                          const std::string& fallback);

}  // namespace basin
