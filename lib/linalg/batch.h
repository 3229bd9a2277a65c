/// Batches: several matrices of one shape, one after another in memory.
#pragma once

#include <type_traits>

#include "basin/linalg/prefault.h"
#include "basin/linalg/types.h"

namespace basin {

/// A view of `count` row-major matrices, rows x cols each, stored back to back:
///
///     | matrix 0 (rows x cols, C order) | matrix 1 | ... | matrix count-1 |
///
/// A view with count 0 stands for "all zero": operator[] then returns an empty matrix, which the rules of the
/// layers skip. S may be const.
template <class S>
class BatchView {
 public:
  using Value = std::remove_const_t<S>;
  using Map = Eigen::Map<std::conditional_t<std::is_const_v<S>, const Matrix<Value>, Matrix<Value>>>;

  BatchView() = default;
  BatchView(S* data, Index count, Index rows, Index cols)
      : data_(data), count_(count), rows_(rows), cols_(cols) {}

  operator BatchView<const S>() const  // NOLINT(google-explicit-constructor): as T* to const T*
      requires(!std::is_const_v<S>) {
    return {data_, count_, rows_, cols_};
  }

  Index count() const { return count_; }
  Index rows() const { return rows_; }
  Index cols() const { return cols_; }
  bool empty() const { return count_ == 0; }

  Map operator[](Index j) const {
    if (empty()) return Map(nullptr, 0, 0);
    eigen_assert(j >= 0 && j < count_);
    return Map(data_ + j * rows_ * cols_, rows_, cols_);
  }
  /// Rows first, ..., first + rows - 1 of matrix j; empty in an empty batch.
  Map slice(Index j, Index first, Index rows) const {
    if (empty()) return Map(nullptr, 0, 0);
    eigen_assert(first >= 0 && first + rows <= rows_);
    return Map(data_ + (j * rows_ + first) * cols_, rows, cols_);
  }

 private:
  S* data_ = nullptr;
  Index count_ = 0, rows_ = 0, cols_ = 0;
};

/// A batch that owns its memory, and keeps it when it is resized to something smaller.
///
/// The memory is aligned like Eigen's own. Reductions over unaligned memory take their terms in an order that
/// depends on the address: the last bits would change from run to run.
template <class S>
class Batch {
 public:
  /// Leaves the values undefined.
  void resize(Index count, Index rows, Index cols) {
    if (count * rows * cols > storage_.size()) {
      storage_.resize(count * rows * cols);
      prefault(storage_.data(), static_cast<std::size_t>(storage_.size()) * sizeof(S));
    }
    count_ = count, rows_ = rows, cols_ = cols;
  }
  void resize_zero(Index count, Index rows, Index cols) {
    resize(count, rows, cols);
    storage_.head(count * rows * cols).setZero();
  }
  void clear() { count_ = 0; }

  BatchView<S> view() { return {storage_.data(), count_, rows_, cols_}; }
  BatchView<const S> view() const { return {storage_.data(), count_, rows_, cols_}; }
  auto operator[](Index j) { return view()[j]; }
  auto operator[](Index j) const { return view()[j]; }
  auto slice(Index j, Index first, Index rows) { return view().slice(j, first, rows); }
  auto slice(Index j, Index first, Index rows) const { return view().slice(j, first, rows); }

  Index count() const { return count_; }
  Index rows() const { return rows_; }
  Index cols() const { return cols_; }
  bool empty() const { return count_ == 0; }
  std::size_t bytes() const { return static_cast<std::size_t>(count_ * rows_ * cols_) * sizeof(S); }

 private:
  Vector<S> storage_;
  Index count_ = 0, rows_ = 0, cols_ = 0;
};

}  // namespace basin
