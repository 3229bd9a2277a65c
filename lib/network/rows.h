/// What layers do with all rows of an activation alike.
#pragma once

#include "basin/linalg/types.h"

namespace basin {

/// y += b in every row.  b: 1 x width.
template <class Y, class B>
void add_to_rows(Y&& y, const B& b) {
  y.rowwise() += b.row(0);
}

/// The sum of f(i), i < count, in an order that depends on the count alone (a reduction by Eigen goes by the
/// address, too).
template <class S, class F>
S fixed_sum(Index count, const F& f) {
  constexpr Index kLanes = 8;
  S lanes[kLanes] = {};
  Index i = 0;
  for (; i + kLanes <= count; i += kLanes)
    for (Index l = 0; l < kLanes; ++l) lanes[l] += f(i + l);
  for (Index l = 0; i < count; ++i, ++l) lanes[l] += f(i);
  return ((lanes[0] + lanes[4]) + (lanes[2] + lanes[6])) + ((lanes[1] + lanes[5]) + (lanes[3] + lanes[7]));
}

/// The mean of a row, and of the products of two rows.
template <class Row>
auto row_mean(const Row& row) {
  using S = typename Row::Scalar;
  const S* x = row.data();
  return fixed_sum<S>(row.size(), [x](Index i) { return x[i]; }) / static_cast<S>(row.size());
}
template <class Row, class Other>
auto row_mean(const Row& row, const Other& other) {
  using S = typename Row::Scalar;
  const S *x = row.data(), *y = other.data();
  return fixed_sum<S>(row.size(), [x, y](Index i) { return x[i] * y[i]; }) / static_cast<S>(row.size());
}

/// bbar += the sum of all rows, from the first to the last.  bbar: 1 x width.
template <class Y, class B>
void add_sum_of_rows(const Y& ybar, B&& bbar) {
  for (Index row = 0; row < ybar.rows(); ++row) bbar.row(0) += ybar.row(row);
}

}  // namespace basin
