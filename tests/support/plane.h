/// The losses of a whole plane.
#pragma once

#include <numeric>

#include "basin/landscape/plane_evaluator.h"

namespace basin::test {

/// f(theta + a u + b v) on the grid of the evaluator: y.count x x.count, row = b, column = a.
inline Matrix<double> loss_on_plane(PlaneEvaluator& plane, const Grid& grid) {
  std::vector<Index> all(plane.pieces().size());
  std::iota(all.begin(), all.end(), 0);
  const Vector<double> losses = plane.losses(all);
  return Eigen::Map<const Matrix<double>>(losses.data(), grid.y.count, grid.x.count);
}

}  // namespace basin::test
