/// Sums whose bits do not depend on who adds: the terms are cut and paired by their number alone.
#pragma once

#include <algorithm>
#include <bit>
#include <iterator>
#include <span>
#include <utility>
#include <vector>

#include "basin/linalg/parallel.h"
#include "basin/linalg/types.h"

namespace basin {

/// The sum of `values` by the binary tree over their index: neighbours 2 i and 2 i + 1 are added, then
/// neighbours of those sums, ...; a last one without a neighbour moves up as it is. In other words: the sum
/// of the first 2^l plus the sum of the rest, 2^l the largest power below the size. 0 for none.
template <class S>
S tree_sum(std::span<const S> values) {
  if (values.size() < 2) return values.empty() ? S(0) : values[0];
  const std::size_t left = std::bit_floor(values.size() - 1);
  return tree_sum(values.first(left)) + tree_sum(values.subspan(left));
}

/// `items` cut into groups of consecutive ones: at most 64 groups, unless they would be of more than 64
/// items.
struct Groups {
  explicit Groups(Index total)
      : items(total), each(std::clamp<Index>((total + kMost - 1) / kMost, 1, kMost)) {}

  Index count() const { return (items + each - 1) / each; }
  Index first(Index group) const { return group * each; }
  Index end(Index group) const { return std::min(items, first(group) + each); }

  static constexpr Index kMost = 64;
  Index items, each;
};

/// The sum of blocks of k vectors over many items. The items of a group are added to one block, one after
/// another, and the groups by the tree of tree_sum: who completes the second of two neighbours adds them. So
/// nobody waits, a block is touched once for a group and not once for an item, and with t threads and g
/// groups at most t + log2(g) + 1 blocks are in use. Memory is kept from sum to sum. One sum at a time.
template <class S>
class TreeSum {
 public:
  /// The sum, rows x k (all > 0), of what work(item, slot, block) adds to `block`, for item in [0, items) on
  /// the OpenMP threads (see parallel_for). Stays until the next call. `progress` counts groups.
  template <class Work>
  auto operator()(Index items, Index rows, Index k, const Work& work, const Progress& progress = {}) {
    const Groups groups(items);
    std::move(waiting_.begin(), waiting_.end(), std::back_inserter(free_));  // of a sum that was not finished
    free_.push_back(std::move(total_));
    if (rows != rows_ || k > columns_) free_.clear(), rows_ = rows, columns_ = k;
    std::erase_if(free_, [](const Vectors<S>& block) { return block.size() == 0; });
    waiting_.resize(3 * groups.count());
    free_.reserve(waiting_.size());  // nothing may be thrown while the others wait
    parallel_for(
        groups.count(),
        [&](Index group, Index slot) {
          Vectors<S> block = take(k);
          for (Index item = groups.first(group); item < groups.end(group); ++item)
            work(item, slot, block.leftCols(k));
          add(std::move(block), k, group, groups.count());
        },
        progress);
    return std::as_const(total_).leftCols(k);
  }

 private:
  Vectors<S> take(Index k) {
    Vectors<S> block;
#pragma omp critical(basin_tree_sum)
    if (!free_.empty()) block = std::move(free_.back()), free_.pop_back();
    if (block.size() == 0) block.resize(rows_, columns_);
    block.leftCols(k).setZero();
    return block;
  }

  /// Node i of a level with n nodes is done.
  void add(Vectors<S> block, Index k, Index i, Index n) {
    for (Index leaves = 1; n > 1; i /= 2, n = (n + 1) / 2, leaves *= 2) {
      // Places in the order of the tree, read from left to right.
      const auto place = [&](Index node) { return 2 * node * leaves + leaves - 1; };
      if (i % 2 == 0 && i + 1 == n) continue;  // no neighbour
      Vectors<S> other;
#pragma omp critical(basin_tree_sum)
      {
        other = std::move(waiting_[place(i ^ 1)]);
        if (other.size() == 0) waiting_[place(i)].swap(block);  // waits for its neighbour
      }
      if (other.size() == 0) return;
      block.leftCols(k) += other.leftCols(k);
#pragma omp critical(basin_tree_sum)
      free_.push_back(std::move(other));
    }
    total_ = std::move(block);
  }

  std::vector<Vectors<S>> free_, waiting_;
  Vectors<S> total_;
  Index rows_ = 0, columns_ = 0;
};

}  // namespace basin
