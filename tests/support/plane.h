/// The losses of a whole plane.
#pragma once

#include <numeric>

#include "basin/single_layer/plane_ways.h"

namespace basin::test {

/// f(theta + a u + b v) on the grid of the plane: y.count x x.count, row = b, column = a.
inline Matrix<double> loss_on_plane(PlaneLoss& plane, const Grid& grid) {
  std::vector<Index> all(plane.pieces().size());
  std::iota(all.begin(), all.end(), 0);
  const Vector<double> losses = plane.losses(all);
  return Eigen::Map<const Matrix<double>>(losses.data(), grid.y.count, grid.x.count);
}

}  // namespace basin::test
