/// How sharp attention is: what goes with descent that is stuck (MATHEMATICS.md, "Saturation").
#pragma once

#include <cmath>

#include "basin/linalg/types.h"

namespace basin {

/// Over the rows of all heads' attention matrices, one row for each token and head. NaN where there are none.
struct Saturation {
  /// Mean of -sum_l p_l log p_l, p the row divided by its sum (a row of zeros counts as 0): log n for uniform
  /// attention, 0 where every token attends to one.
  double mean_entropy = 0;
  double largest_weight = 0;  ///< max over rows of max_l S_kl
  /// The largest over the rows of log(max_l S_kl / min_l S_kl); for softmax the range of the logits. Infinite
  /// where a weight underflows.
  double range = 0;
  double smallest_sum = 0, largest_sum = 0;  ///< of a row; 1 for softmax
  /// The first rows with `range` and `smallest_sum`, as they were added.
  Index sharpest = 0, weakest = 0;

  /// Of the attention of a network of which nothing is known.
  static Saturation unknown();
  bool known() const { return !std::isnan(range); }
};

/// Which row of attention that is, when the heads were added one after another, with all N n rows of each.
struct RowPlace {
  Index head, sample, token;
};
RowPlace row_place(Index row, Index rows, Index tokens);

class SaturationOfRows {
 public:
  /// S: rows of attention, any number of them.
  void add(ConstMatrixRef<double> S);
  Saturation result() const;

 private:
  Index rows_ = 0;
  double entropy_ = 0;
  Saturation extremes_;
};

}  // namespace basin
