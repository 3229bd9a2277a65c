/// The path of a training run, seen from a plane.
#pragma once

#include "basin/linalg/types.h"

namespace basin {

/// Points theta_t, and theta_0 + a_t u + b_t v next to them on the plane (least squares).
struct ProjectedPath {
  Vector<double> x, y;        ///< T: a_t, b_t
  Vector<double> distance;    ///< T: |theta_t - (theta_0 + a_t u + b_t v)|
  double variance_share = 0;  ///< of the path about its mean, in the plane; NaN for a path that does not move
  double u_share = 0, v_share = 0;  ///< the same along u and along v, each alone
};

/// path: P x T, one point a column; u, v: P; v of zeros stands for a line. Throws InputError when u is zero
/// or the directions are parallel.
ProjectedPath project_path(const Vectors<double>& path, const Vector<double>& origin, const Vector<double>& u,
                           const Vector<double>& v);

struct PrincipalDirections {
  Vectors<double> directions;  ///< P x k, unit columns
  Vector<double> shares;       ///< k: of the variance
};

/// The k directions along which the points of the path vary most about their mean. Signs are fixed by the
/// way from the first point to the last. Throws InputError when the path does not span k directions.
PrincipalDirections principal_directions(const Vectors<double>& path, Index k);

}  // namespace basin
