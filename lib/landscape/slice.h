/// The loss on a plane through a point.
#pragma once

#include "landscape/plane_evaluator.h"

namespace basin {

/// f(theta + a u + b v) on the whole grid: a y.count x x.count matrix, row = b, column = a. `progress` counts
/// grid points.
Matrix<double> loss_on_plane(PlaneEvaluator& plane, const Grid& grid, const Progress& progress = {});

}  // namespace basin
