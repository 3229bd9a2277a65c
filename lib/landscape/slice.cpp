#include "landscape/slice.h"

#include <algorithm>
#include <numeric>

namespace basin {

Matrix<double> loss_on_plane(PlaneEvaluator& plane, const Grid& grid, const Progress& progress) {
  std::vector<Index> all(plane.pieces().size());
  std::iota(all.begin(), all.end(), 0);
  const Vector<double> losses = plane.losses(all, progress);
  return Eigen::Map<const Matrix<double>>(losses.data(), grid.y.count, grid.x.count);
}

}  // namespace basin
