#include "basin/model/labels.h"

#include <cmath>

namespace basin {
namespace {

/// Whether the output of class `target` is above all others.
template <class Row>
bool is_above(const Row& row, Index target) {
  for (Index o = 0; o < row.size(); ++o)
    if (o != target && !(row[o] < row[target])) return false;
  return true;
}

}  // namespace

bool labelled(const Data<double>& data) {
  if (!data.labels.empty()) return true;
  const Matrix<double>& Y = data.Y;
  if (Y.cols() == 1) return (Y.array().abs() == 1).all();
  return (Y.array() == 0 || Y.array() == 1).all() && (Y.rowwise().sum().array() == 1).all();
}

double accuracy(const Matrix<double>& F, const Data<double>& data, const Mask& counting) {
  if (!F.allFinite()) return std::nan("");
  Index right = 0, all = 0;
  for (Index row = 0; row < F.rows(); ++row) {
    if (!counting.empty() && counting[row] == 0) continue;
    ++all;
    Index target = 0;
    if (!data.labels.empty()) {
      target = data.labels[row];
    } else if (F.cols() == 1) {
      if (F(row, 0) * data.Y(row, 0) > 0) ++right;
      continue;
    } else {
      data.Y.row(row).maxCoeff(&target);
    }
    if (is_above(F.row(row), target)) ++right;
  }
  return 100 * static_cast<double>(right) / static_cast<double>(all);
}

}  // namespace basin
