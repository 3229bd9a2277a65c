/// The loss on a plane through a point.
#pragma once

#include <memory>

#include "linalg/progress.h"
#include "model/model.h"

namespace basin {

/// f(theta + a u + b v) for every a in xs and b in ys: a ys.size() x xs.size() matrix, row = b, column = a.
/// weights: all blocks, with theta their trainable part; u, v: P. Grid points are shared out to the threads;
/// each is computed by one of them, so the bits do not depend on their number. A loss may be infinite or NaN
/// far out. Throws InputError when a length does not fit. `progress` counts grid points. With S = float the
/// points are rounded, and the loss at each is computed, in single precision.
template <class S>
Matrix<double> loss_on_plane(const std::shared_ptr<const Model<S>>& model, const Vector<double>& weights,
                             const std::shared_ptr<const Data<S>>& data, const Vector<double>& u,
                             const Vector<double>& v, const Vector<double>& xs, const Vector<double>& ys,
                             const Progress& progress = {});

}  // namespace basin
