/// Sums of products of small and medium matrices, straight from where they stand.
#pragma once

#include <initializer_list>
#include <type_traits>

#include "basin/linalg/types.h"

namespace basin {

/// A matrix in memory: entry (i, j) at data[i * row_step + j * col_step]. S may be const.
template <class S>
struct Tile {
  S* data = nullptr;
  Index rows = 0, cols = 0, row_step = 0, col_step = 1;

  operator Tile<const S>() const  // NOLINT(google-explicit-constructor): as T* to const T*
      requires(!std::is_const_v<S>) {
    return {data, rows, cols, row_step, col_step};
  }
  bool empty() const { return data == nullptr; }
  S* row(Index i) const { return data + i * row_step; }
  Tile transpose() const { return {data, cols, rows, col_step, row_step}; }
  /// `count` rows from `first`; `count` columns from `first`. Empty tiles stay empty.
  Tile middle_rows(Index first, Index count) const {
    return empty() ? *this : Tile{data + first * row_step, count, cols, row_step, col_step};
  }
  Tile middle_cols(Index first, Index count) const {
    return empty() ? *this : Tile{data + first * col_step, rows, count, row_step, col_step};
  }
};

/// A row-major Eigen matrix or map as a tile.
template <class S>
Tile<S> tile(Matrix<S>& m) {
  return {m.data(), m.rows(), m.cols(), m.cols(), 1};
}
template <class S>
Tile<const S> tile(const Matrix<S>& m) {
  return {m.data(), m.rows(), m.cols(), m.cols(), 1};
}
template <class Derived>
auto tile(const Eigen::MapBase<Derived, Eigen::ReadOnlyAccessors>& m) {
  static_assert(Derived::IsRowMajor);
  using S = typename Derived::Scalar;
  return Tile<const S>{m.data(), m.rows(), m.cols(), m.outerStride(), 1};
}
template <class Derived>
auto tile(const Eigen::MapBase<Derived, Eigen::WriteAccessors>& m) {
  static_assert(Derived::IsRowMajor);
  using S = typename Derived::Scalar;
  return Tile<S>{const_cast<S*>(m.data()), m.rows(), m.cols(), m.outerStride(), 1};
}

/// One product: left (rows x inner, any steps) times right (inner x cols, col_step 1). An empty factor stands
/// for zero.
template <class S>
struct Term {
  Tile<const S> left, right;
};

/// out = sum of left * right over the terms, or out += with `add`. out (rows x cols) has col_step 1 and must
/// not overlap a factor. Sizes are not checked. Any size will do; whole packs of columns (linalg/simd.h) are
/// fastest.
///
/// Small factors, of a few dozen rows and columns as attention has, are read in place, where a BLAS spends
/// much of its time on copying them into its own layout; of large ones panels are copied as there. Sums run
/// over the terms in order and within each over `inner`, each step rounded once where the processor can: the
/// same bits wherever the numbers stand, and for each entry whatever the other rows and columns.
template <class S>
void sum_of_products(std::initializer_list<Term<S>> terms, Tile<S> out, bool add = false);

/// As they stand, for what is compared with: no packs, no speed.
template <>
void sum_of_products(std::initializer_list<Term<long double>> terms, Tile<long double> out, bool add);

/// out = left W^T, or out += with `add`, for W with col_step 1: left rows x inner, W cols x inner.
template <class S>
void times_transpose(Tile<const S> left, Tile<const S> W, Tile<S> out, bool add = false);
template <>
void times_transpose(Tile<const long double> left, Tile<const long double> W, Tile<long double> out,
                     bool add);

/// out = in^T, zero beyond in.rows up to out.cols; out.rows = in.cols, both with col_step 1.
template <class S>
void transpose(Tile<const S> in, Tile<S> out);

}  // namespace basin
