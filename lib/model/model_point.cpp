#include "basin/model/model_point.h"

#include <algorithm>

namespace basin {

template <class S>
OutputScale<S> ModelPoint<S>::scale_at_zero() const {
  constexpr Index kRows = 256;  // of a large vocabulary, not all at once
  const Shape out = model->network().output();
  const Index rows = data->samples * out.tokens;
  const DataLoss<S> loss(*model, *data);
  if (loss.facts().quadratic && loss.counting().empty()) {
    const S targets = data->Y.stableNorm();
    return {targets * targets / 2, targets};
  }
  const Matrix<S> zero = Matrix<S>::Zero(std::min(rows, kRows), out.width);
  Matrix<S> r = zero;
  S value = 0;
  Vector<S> norms((rows + kRows - 1) / kRows);
  for (Index first = 0; first < rows; first += kRows) {
    const Index count = std::min(kRows, rows - first);
    value += loss.value(first, zero.topRows(count));
    loss.gradient(first, zero.topRows(count), r.topRows(count));
    norms[first / kRows] = r.topRows(count).stableNorm();
  }
  return {value, norms.stableNorm()};
}

template OutputScale<double> ModelPoint<double>::scale_at_zero() const;
template OutputScale<float> ModelPoint<float>::scale_at_zero() const;

}  // namespace basin
