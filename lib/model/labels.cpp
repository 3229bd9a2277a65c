#include "basin/model/labels.h"

#include <algorithm>
#include <cmath>
#include <mutex>

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

template <class S>
Index right_rows(Index first_row, ConstMatrixRef<S> F, const Data<double>& data, const Mask& counting) {
  Index right = 0;
  for (Index row = 0; row < F.rows(); ++row) {
    const Index at = first_row + row;
    if (!counting.empty() && counting[at] == 0) continue;
    Index target = 0;
    if (!data.labels.empty()) {
      target = data.labels[at];
    } else if (F.cols() == 1) {
      if (static_cast<double>(F(row, 0)) * data.Y(at, 0) > 0) ++right;
      continue;
    } else {
      data.Y.row(at).maxCoeff(&target);
    }
    if (is_above(F.row(row), target)) ++right;
  }
  return right;
}

double accuracy(Index right, Index rows, const Mask& counting) {
  const auto all = counting.empty()
                       ? rows
                       : std::count_if(counting.begin(), counting.end(), [](auto c) { return c != 0; });
  return 100 * static_cast<double>(right) / static_cast<double>(all);
}

double accuracy(const Matrix<double>& F, const Data<double>& data, const Mask& counting) {
  if (!F.allFinite()) return std::nan("");
  return accuracy(right_rows<double>(0, F, data, counting), F.rows(), counting);
}

template <class S>
double accuracy(const Linearization<S>& at, const Data<double>& data) {
  const Mask& counting = at.counting_rows();
  const Index rows = at.samples() * at.model().network().output().tokens;
  const double right = at.sum_over_outputs([&](Index first, ConstMatrixRef<S> F) {
    return static_cast<double>(right_rows<S>(first, F, data, counting));
  });
  return accuracy(static_cast<Index>(right), rows, counting);
}

double smallest_margin(const Linearization<double>& at) {
  const std::vector<std::int32_t>& labels = at.point().data->labels;
  const Mask& counting = at.counting_rows();
  double smallest = kInfinity;
  std::mutex changing;
  at.sum_over_outputs([&](Index first, ConstMatrixRef<double> F) {
    double least = kInfinity;
    for (Index row = 0; row < F.rows(); ++row) {
      const auto k = static_cast<std::size_t>(first + row);
      if (!counting.empty() && counting[k] == 0) continue;
      for (Index c = 0; c < F.cols(); ++c)
        if (c != labels[k]) least = std::min(least, F(row, labels[k]) - F(row, c));
    }
    const std::lock_guard lock(changing);
    smallest = std::min(smallest, least);
    return 0.0;
  });
  return smallest;
}

template Index right_rows(Index, ConstMatrixRef<double>, const Data<double>&, const Mask&);
template Index right_rows(Index, ConstMatrixRef<float>, const Data<double>&, const Mask&);
template double accuracy(const Linearization<double>&, const Data<double>&);
template double accuracy(const Linearization<float>&, const Data<double>&);

}  // namespace basin
