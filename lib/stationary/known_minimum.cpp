#include "basin/stationary/known_minimum.h"

#include <algorithm>
#include <cmath>

#include "basin/linalg/dense.h"
#include "basin/linalg/orthogonal.h"
#include "basin/ntk/trained_kernel.h"

namespace basin {

bool attains(const ModelLoss& loss, const Vector<double>& at, double value) {
  const Vector<double> theta = loss.point.parameters().extract(at);
  if (loss.point.at(theta).weights != at) return false;  // a block is held elsewhere
  ModelObjective f = loss.objective();
  const std::optional<Iterate> x = f.at(theta);
  if (!x) return false;
  const Rounding rounding = rounding_at(f.here(), *loss.theory);
  if (value == f.facts().infimum) return f.here().residual_norm() <= rounding.residual;
  return std::abs(x->loss - value) <= rounding.loss;
}

bool is_convex(const ModelLoss& loss) {
  return loss.point.model->loss().facts().convex && loss.theory->is_linear(loss.point);
}

std::optional<double> convex_minimum(const ModelLoss& loss) {
  constexpr double kOperations = 1e9, kFar = 1e-8;
  ModelObjective f = loss.objective();
  const auto P = static_cast<double>(f.size()), m = static_cast<double>(loss.point.output_size());
  if (!f.facts().quadratic || !is_convex(loss) || std::min(m, P) * m * P > kOperations) return std::nullopt;
  if (!f.at(Vector<double>::Zero(f.size()))) return std::nullopt;
  // F = F(0) + J theta: what is left of Y - F(0) outside the range of J, over the rows that count
  const Linearization<double>& zero = f.here();
  const Vectors<double> Jt = rows_of_kernel(zero, zero.jacobian_transposed(), KernelRows::counting);
  const SingularPairs svd = singular_pairs(Jt);  // J^T = left diag(s) right^T
  const Vectors<double> missing = -zero.residual().reshaped<Eigen::RowMajor>().transpose();
  Vector<double> r = rows_of_kernel(zero, missing, KernelRows::counting).row(0).transpose();
  const double targets = r.stableNorm();
  Index rank = 0;
  while (rank < svd.values.size() && svd.values[rank] > std::max(m, P) * kEps * svd.values[0]) ++rank;
  const auto range = svd.vectors.leftCols(rank);
  project_out(range, r);
  const double residual = r.stableNorm();
  if (!(residual > kFar * targets)) return std::nullopt;
  return residual * residual / 2;
}

std::optional<GlobalMinimum> global_minimum(const ModelLoss& loss,
                                            const std::optional<StatedMinimum>& stated) {
  if (stated && attains(loss, stated->weights, stated->minimum.loss)) return stated->minimum;
  if (const auto least = convex_minimum(loss)) return GlobalMinimum{*least, by_convexity(loss)};
  return std::nullopt;
}

std::string by_convexity(const ModelLoss& loss) {
  return "as f is convex in " + joined(loss.point.parameters().trained());
}

}  // namespace basin
