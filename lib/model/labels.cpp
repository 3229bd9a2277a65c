#include "basin/model/labels.h"

#include <cmath>

namespace basin {

bool labelled(const Matrix<double>& Y) {
  if (Y.cols() == 1) return (Y.array().abs() == 1).all();
  return (Y.array() == 0 || Y.array() == 1).all() && (Y.rowwise().sum().array() == 1).all();
}

double accuracy(const Matrix<double>& F, const Matrix<double>& Y) {
  if (!F.allFinite()) return std::nan("");
  Index right = 0;
  for (Index row = 0; row < F.rows(); ++row) {
    if (F.cols() == 1) {
      right += F(row, 0) * Y(row, 0) > 0 ? 1 : 0;
      continue;
    }
    Index target = 0;
    Y.row(row).maxCoeff(&target);
    bool first = true;
    for (Index o = 0; o < F.cols(); ++o) first = first && (o == target || F(row, o) < F(row, target));
    right += first ? 1 : 0;
  }
  return 100 * static_cast<double>(right) / static_cast<double>(F.rows());
}

}  // namespace basin
