/// What the tensors of a checkpoint are in a network.
#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "basin/checkpoint/checkpoint.h"
#include "basin/checkpoint/tensor_part.h"
#include "basin/network/architecture.h"

namespace basin {

/// Where the numbers of a block are: in one part, or in several that follow one another along its first axis.
struct BlockSource {
  std::string block;
  std::vector<TensorPart> parts;

  bool operator==(const BlockSource&) const = default;
};

/// A network, and where its blocks are in a checkpoint. A family of models is such a table, too.
struct CheckpointMap {
  Architecture architecture;
  std::vector<BlockSource> blocks;
  std::map<std::string, std::string> copies = {};  ///< a tensor that stands there twice -> the one it equals
  bool says_loss = false;  ///< the loss of the architecture is meant, and not left to the data
  std::vector<std::string> skipped =
      {};  ///< tensors that are no parameters, or patterns of them ("*.inv_freq")

  bool operator==(const CheckpointMap&) const = default;
};

/// Reads
///
///     {"architecture": {...},
///      "blocks": {"head.W": {"tensor": "head.weight", "permute": [1, 0]},
///                 "attention.W_K": {"tensor": "in_proj.weight", "shape": [24, 8], "reshape": [3, 2, 4, 8],
///                                   "index": [1], "permute": [0, 2, 1]},
///                 "other.W_K": [{"tensor": "heads.0.key.weight", ...}, {"tensor": "heads.1.key.weight",
///                 ...}]},
///      "copies": {"lm_head.weight": "wte.weight"}, "skipped": ["*.attn.bias"]}
///
/// where ":" in an index stands for a whole axis. Throws InputError, naming the place.
CheckpointMap checkpoint_map_from_json(const std::string& text);

/// The text, with every default of the architecture written out.
std::string to_json(const CheckpointMap& map);

/// What is kept of a checkpoint, so that weights and vectors over them can go back to where they came from.
struct CheckpointLayout {
  std::vector<StoredTensor> tensors;  ///< in the order of its header
  Metadata metadata = {};
  std::vector<BlockSource> blocks;
  std::map<std::string, std::string> copies = {};
  std::map<std::string, std::string> kept = {};  ///< the bytes of tensors that are no parameters
};

/// Blocks, copies, tensors and metadata as a text; `kept` is not in it. Throws InputError, naming the place.
std::string to_json(const CheckpointLayout& layout);
CheckpointLayout checkpoint_layout_from_json(const std::string& text);

/// Throws InputError unless blocks and tensors belong together: each block has all its numbers from tensors
/// that are there, in their shape, and each tensor gives each of its entries to one block, is a copy, or is
/// kept. why: what says so, "config.json".
void check_layout(const CheckpointLayout& layout, const std::vector<ParameterBlock>& blocks,
                  const std::string& why);

/// A checkpoint as weights.
struct ImportedCheckpoint {
  CheckpointLayout layout;
  Vector<double> weights;  ///< of all blocks, exactly
};

/// Takes the weights out. unused: patterns of tensors that the user leaves out. Throws InputError, naming
/// file and tensor, as `check_layout`, for what is neither used nor skipped, and for copies that differ.
ImportedCheckpoint import_checkpoint(const Checkpoint& checkpoint, const CheckpointMap& map,
                                     const std::vector<std::string>& unused, const std::string& why);

/// Vectors over trained blocks as tensors of a checkpoint.
class TensorVectors {
 public:
  TensorVectors(const CheckpointLayout& layout, const ParameterLayout& parameters);

  /// The tensors with a trained block in them, in the checkpoint's order.
  const std::vector<StoredTensor>& tensors() const { return tensors_; }
  /// The numbers of such a tensor, in C order; 0 where the block is not trained.
  Vector<double> tensor(std::size_t k, const Vector<double>& theta) const;
  /// The reverse: takes them into theta. Throws InputError for numbers of blocks that are not trained, unless
  /// they are 0.
  void insert(std::size_t k, const Vector<double>& tensor, Vector<double>& theta) const;

 private:
  struct Piece {
    Index theta_offset;  ///< -1: not trained
    TensorView view;
  };
  std::vector<StoredTensor> tensors_;
  std::vector<std::vector<Piece>> pieces_;  ///< of each
};

}  // namespace basin
