#include "basin/linalg/triangular.h"

#include <cmath>
#include <limits>

#include "basin/linalg/block_krylov.h"
#include "basin/linalg/errors.h"
#include "basin/linalg/lapack.h"

namespace basin {

std::optional<EnclosedEigenvalue> smallest_singular_value(const Vectors<double>& R, std::uint64_t seed) {
  constexpr double kTight = 1e-6;
  const Index n = R.rows();
  if (n == 0 || R.cols() != n)
    throw InputError("smallest_singular_value: the matrix is not square, or empty");
  const double rounding = static_cast<double>(n) * kEps * R.norm();
  Vectors<double> X = R;
  if (R.hasNaN() || lapack::trtri(X) != 0) return {};
  X.triangularView<Eigen::StrictlyLower>().setZero();
  const double trace = X.squaredNorm();
  if (!std::isfinite(trace)) return {};

  const auto bound = [&](const RitzPairs& top) {
    double found = 0;
    return bound_largest(top, [&](Index r, double) {
      found += top.values[r - 1];
      return trace * (1 + static_cast<double>(n) * kEps) - found;
    });
  };
  const RitzPairs top = largest_ritz_pairs(
      n, seed,
      [&](const Vectors<double>& V) {
        const Vectors<double> half = X.transpose() * V;
        return Vectors<double>(X * half);
      },
      [&](const RitzPairs& pairs) { return bound(pairs) <= (1 + kTight) * pairs.values[0]; });
  if (!(top.values[0] > 0) || !std::isfinite(top.values[0])) return {};
  const double largest = bound(top);
  // One more step, by solving: R X is I only to eps cond(R)^2, so that X would leave too much of the large
  // singular values in the vector.
  const auto upper_part = R.triangularView<Eigen::Upper>();
  Vector<double> right = upper_part.transpose().solve(top.vector);
  right = upper_part.solve(right).normalized();
  const double value = (R * right).norm(), upper = value + rounding;
  const double lower = 1 / std::sqrt(largest) - rounding;
  if (!(10 * rounding <= value) || !(lower >= 0.9 * value)) return {};
  return EnclosedEigenvalue{value, std::min(value, lower), upper};
}

}  // namespace basin
