#include "basin/landscape/trajectory.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "basin/landscape/directions.h"
#include "basin/linalg/dense.h"
#include "basin/linalg/errors.h"

namespace basin {
namespace {

/// What |path - mean|^2 can be by the rounding of the mean alone.
double rounding_of_spread(const Vectors<double>& path) {
  return std::pow(static_cast<double>(path.cols()) * kEps, 2) * path.squaredNorm();
}

}  // namespace

ProjectedPath project_path(const Vectors<double>& path, const Vector<double>& origin, const Vector<double>& u,
                           const Vector<double>& v) {
  const bool line = v.norm() == 0;
  if (!(u.norm() > 0)) throw InputError("a direction is zero; expected one to project the trajectory on");
  // v = w + (<u, v> / |u|^2) u with w orthogonal to u
  const Vector<double> w = line ? v : orthogonalised(v, u);
  const double uu = u.squaredNorm(), along = u.dot(v) / uu, ww = w.squaredNorm();
  const Vectors<double> from_origin = path.colwise() - origin;
  const Vector<double> on_u = from_origin.transpose() * u / uu;
  ProjectedPath projected;
  projected.y = line ? Vector<double>::Zero(path.cols()).eval() : (from_origin.transpose() * w / ww).eval();
  projected.x = on_u - along * projected.y;
  const Vectors<double> rest = from_origin - u * on_u.transpose() - w * projected.y.transpose();
  projected.distance = rest.colwise().norm().transpose();

  const Vectors<double> centred = path.colwise() - path.rowwise().mean();
  const double all = centred.squaredNorm();
  const auto share = [&](const Vector<double>& direction) {
    const double squares = direction.squaredNorm();
    if (!(all > rounding_of_spread(path))) return std::numeric_limits<double>::quiet_NaN();
    return squares > 0 ? (direction.transpose() * centred).squaredNorm() / squares / all : 0;
  };
  projected.u_share = share(u);
  projected.v_share = share(v);
  projected.variance_share = projected.u_share + share(w);
  return projected;
}

/// From the T x T matrix of scalar products: a path has fewer points than parameters.
PrincipalDirections principal_directions(const Vectors<double>& path, Index k) {
  const Vectors<double> centred = path.colwise() - path.rowwise().mean();
  const SymmetricEigen eigen = symmetric_eigen(centred.transpose() * centred, true);
  const Index T = path.cols();
  const double total = eigen.values.sum();
  // Of the products, or of the mean.
  const double rounding = std::max(10 * static_cast<double>(T) * kEps * total, rounding_of_spread(path));
  const Index spanned = (eigen.values.array() > rounding).count();
  if (k > spanned)
    throw InputError("the trajectory spans " + std::to_string(spanned) + " directions; expected " +
                     std::to_string(k));
  PrincipalDirections principal{Vectors<double>(path.rows(), k), Vector<double>(k)};
  for (Index j = 0; j < k; ++j) {
    Vector<double> direction = centred * eigen.vectors.col(T - 1 - j);
    direction /= direction.norm();
    if (direction.dot(path.col(T - 1) - path.col(0)) < 0) direction *= -1;
    principal.directions.col(j) = direction;
    principal.shares[j] = eigen.values[T - 1 - j] / total;
  }
  return principal;
}

}  // namespace basin
