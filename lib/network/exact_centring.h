/// Taking away what numbers have in common without rounding.
#pragma once

#include <algorithm>
#include <cstdint>
#include <initializer_list>
#include <limits>
#include <span>
#include <type_traits>

#include "basin/linalg/product.h"

namespace basin {

/// Calls body(column, c) for the columns of these matrices (one below the other) whose entries all lie within
/// a factor of two of each other; c is a number of that range. To subtract c from all of them is therefore
/// exact (Sterbenz' lemma), and differences of entries remain what they were, to the last digit. Rows of each
/// matrix that `mask` has as 0 do not count; an empty one is all of them.
template <class T, class Body>
void for_common_parts(std::initializer_list<Tile<T>> matrices, const Body& body,
                      std::span<const std::uint8_t> mask = {}) {
  using S = std::remove_const_t<T>;
  constexpr Index kColumns = 64;
  S low[kColumns], high[kColumns];
  const Index cols = matrices.begin()->cols;
  for (Index first = 0; first < cols; first += kColumns) {
    const Index count = std::min(kColumns, cols - first);
    std::fill_n(low, count, std::numeric_limits<S>::infinity());
    std::fill_n(high, count, -std::numeric_limits<S>::infinity());
    for (const Tile<T>& m : matrices)
      for (Index l = 0; l < m.rows; ++l) {
        if (!mask.empty() && mask[static_cast<std::size_t>(l)] == 0) continue;
        const S* x = m.row(l) + first;
        for (Index i = 0; i < count; ++i) {
          low[i] = x[i] < low[i] ? x[i] : low[i];
          high[i] = x[i] > high[i] ? x[i] : high[i];
        }
      }
    for (Index i = 0; i < count; ++i)
      if ((low[i] > 0 && high[i] / 2 <= low[i] && low[i] <= high[i]) ||
          (high[i] < 0 && low[i] / 2 >= high[i] && low[i] <= high[i]))
        body(first + i, low[i] + (high[i] - low[i]) / 2);
  }
}

template <class S>
void subtract_from_column(Tile<S> matrix, Index column, S c) {
  for (Index l = 0; l < matrix.rows; ++l) matrix.row(l)[column] -= c;
}

/// Subtracts from each column what its entries have in common, where that is exact. Returns whether anything
/// changed.
template <class S>
bool centre_exactly(std::initializer_list<Tile<S>> matrices) {
  bool changed = false;
  for_common_parts(matrices, [&](Index column, S c) {
    for (const Tile<S>& m : matrices) subtract_from_column(m, column, c);
    changed = true;
  });
  return changed;
}

}  // namespace basin
