#include "basin/stationary/saturation.h"

#include <algorithm>
#include <cmath>

namespace basin {

void SaturationOfRows::add(ConstMatrixRef<double> S) {
  for (Index k = 0; k < S.rows(); ++k) {
    const double sum = S.row(k).sum(), most = S.row(k).maxCoeff(), least = S.row(k).minCoeff();
    for (Index l = 0; l < S.cols(); ++l)
      if (S(k, l) > 0) entropy_ -= S(k, l) / sum * std::log(S(k, l) / sum);
    extremes_.largest_weight = std::max(extremes_.largest_weight, most);
    if (const double range = least > 0 ? std::log(most / least) : HUGE_VAL; range > extremes_.range)
      extremes_.range = range, extremes_.sharpest = rows_;
    if (rows_ == 0 || sum < extremes_.smallest_sum) extremes_.smallest_sum = sum, extremes_.weakest = rows_;
    extremes_.largest_sum = std::max(extremes_.largest_sum, sum);
    ++rows_;
  }
}

RowPlace row_place(Index row, Index rows, Index tokens) {
  return {row / rows, row % rows / tokens, row % tokens};
}

Saturation Saturation::unknown() {
  return {kNaN, kNaN, kNaN, kNaN, kNaN};
}

Saturation SaturationOfRows::result() const {
  if (rows_ == 0) return Saturation::unknown();
  Saturation result = extremes_;
  result.mean_entropy = entropy_ / static_cast<double>(rows_);
  return result;
}

}  // namespace basin
