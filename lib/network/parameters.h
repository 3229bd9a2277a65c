/// Parameter blocks: their names and shapes, where they stand in a vector, and views on them.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "basin/linalg/batch.h"
#include "basin/linalg/types.h"

namespace basin {

/// What a block is in its layer: what initialisations go by.
enum class BlockRole {
  map,          ///< a linear map from rows to columns; several slices side by side, as heads
  stacked_map,  ///< the same with the slices one below the other: they add up
  shift,        ///< added: a bias
  scale,        ///< multiplied with: a gain
  table,        ///< rows that are looked up: an embedding
};

/// A named array of parameters in C order, e.g. W_Q of shape (H, D, d).
struct ParameterBlock {
  std::string name;
  std::vector<Index> shape;
  /// The full name of a block of the same shape that this one is: one array, used in two places, whose
  /// adjoints are added. Empty: a block of its own.
  std::string tied_to = {};
  BlockRole role = BlockRole::map;
  /// Blocks of one group make numbers that are subtracted from each other (queries and keys under a Gaussian
  /// kernel), so that rounding in each is relative to the largest of all. Empty: a block by itself.
  std::string group = {};

  Index size() const;
  /// A block is seen as a stack of matrices along its leading axes: W_Q as H matrices D x d, a bias as one
  /// row.
  Index rows() const { return shape.size() < 2 ? 1 : shape[shape.size() - 2]; }
  Index cols() const { return shape.empty() ? 1 : shape.back(); }
  Index slices() const { return size() / (rows() * cols()); }
};

/// The names of the blocks that each pattern stands for, in which `*` is any text: "blocks.*.W_Q". A name
/// stands for itself. Throws InputError for none at all, and for one that fits no block, listing the names
/// there are, of many the nearest.
std::vector<std::string> matching_blocks(const std::vector<std::string>& patterns,
                                         const std::vector<ParameterBlock>& blocks);

/// Where a block stands in a vector; offset < 0 when the vector does not contain it (a frozen block).
struct BlockSlot {
  Index offset, rows, cols;
};

/// The blocks of one layer inside k vectors of parameters, `stride` numbers apart:
///
///     vector j:   data + j * stride + slot.offset  ->  slice 0 (rows x cols, C order) | slice 1 | ...
///
/// S may be const.
template <class S>
class BlockView {
 public:
  using Map = typename BatchView<S>::Map;

  BlockView(S* data, Index count, Index stride, std::span<const BlockSlot> slots)
      : data_(data), count_(count), stride_(stride), slots_(slots) {}

  Index count() const { return count_; }
  bool has(std::size_t block) const { return slots_[block].offset >= 0; }
  bool has_any() const {
    for (const BlockSlot& slot : slots_)
      if (slot.offset >= 0) return true;
    return false;
  }
  /// Slice h of a block in vector j.
  Map operator()(std::size_t block, Index j, Index h) const {
    const BlockSlot& s = slots_[block];
    eigen_assert(has(block) && j < count_);
    return Map(data_ + j * stride_ + s.offset + h * s.rows * s.cols, s.rows, s.cols);
  }
  /// The blocks first, ..., first + count - 1: those of a layer inside this one.
  BlockView part(std::size_t first, std::size_t count) const {
    return {data_, count_, stride_, slots_.subspan(first, count)};
  }

 private:
  S* data_;
  Index count_, stride_;
  std::span<const BlockSlot> slots_;
};

/// The name of a set of blocks: "W_Q,W_K".
std::string joined(const std::vector<std::string>& blocks);

/// All blocks of a model. Two vectors use it: `weights`, every block in order; and `theta` (length P), the
/// trainable blocks only, in the same order. Both hold each block in C order.
class ParameterLayout {
 public:
  struct Entry {
    ParameterBlock block;
    Index offset;        ///< in the vector of all weights
    Index theta_offset;  ///< in theta; -1 when frozen
    bool trainable() const { return theta_offset >= 0; }
  };

  /// Throws InputError when `trainable` names a block that is not there, names one twice, or is empty, and
  /// when a block is tied to one that is not there, is tied itself or has another shape.
  ParameterLayout(const std::vector<ParameterBlock>& blocks, const std::vector<std::string>& trainable);

  /// Blocks that are not tied to others.
  const std::vector<Entry>& entries() const { return entries_; }
  /// Throws InputError, listing the names there are, of many the nearest.
  const Entry& find(const std::string& name) const;
  Index weight_count() const { return weight_count_; }
  Index theta_size() const { return theta_size_; }  ///< P

  /// Of all blocks, in their order: a tied one stands where the other does.
  std::span<const BlockSlot> weight_slots() const { return weight_slots_; }
  std::span<const BlockSlot> theta_slots() const { return theta_slots_; }

  /// The names of the trainable blocks, in order.
  std::vector<std::string> trained() const {
    std::vector<std::string> names;
    for (const Entry& e : entries_)
      if (e.trainable()) names.push_back(e.block.name);
    return names;
  }

  /// theta of these weights.
  template <class S>
  Vector<S> extract(const Vector<S>& weights) const {
    Vector<S> theta(theta_size_);
    for (const Entry& e : entries_)
      if (e.trainable())
        theta.segment(e.theta_offset, e.block.size()) = weights.segment(e.offset, e.block.size());
    return theta;
  }
  /// Replaces the trainable part of these weights by theta.
  template <class S>
  void insert(const Vector<S>& theta, Vector<S>& weights) const {
    for (const Entry& e : entries_)
      if (e.trainable())
        weights.segment(e.offset, e.block.size()) = theta.segment(e.theta_offset, e.block.size());
  }

 private:
  std::vector<Entry> entries_;
  std::vector<BlockSlot> weight_slots_, theta_slots_;
  Index weight_count_ = 0, theta_size_ = 0;
};

}  // namespace basin
