#include "stationary/known_minimum.h"

#include <algorithm>
#include <cmath>

#include "linalg/dense.h"
#include "linalg/orthogonal.h"

namespace basin {

bool attains(const AttentionLoss& loss, const Vector<double>& at, double value) {
  const ParameterLayout& parameters = loss.model->parameters();
  Vector<double> reached = loss.weights;
  const Vector<double> theta = parameters.extract(at);
  parameters.insert(theta, reached);
  if (reached != at) return false;  // a block is held elsewhere
  ModelObjective f = loss.objective();
  const std::optional<Point> x = f.at(theta);
  if (!x) return false;
  const Matrix<double>& outputs = f.here().outputs();
  const Rounding rounding = rounding_at(loss.spec, loss.model, at, *loss.data, x->loss, outputs, x->gradient);
  if (value == 0) return (outputs - loss.data->Y).stableNorm() <= rounding.residual;
  return std::abs(x->loss - value) <= rounding.loss;
}

bool is_convex(const AttentionLoss& loss) {
  const std::vector<std::string> trained = loss.model->parameters().trained();
  return trained.size() == 1 && (trained[0] == "W_V" || trained[0] == "W_O");
}

std::optional<double> convex_minimum(const AttentionLoss& loss) {
  constexpr double kOperations = 1e9, kClear = 1e-8;
  ModelObjective f = loss.objective();
  const auto P = static_cast<double>(f.size()), m = static_cast<double>(loss.data->Y.size());
  if (!is_convex(loss) || std::min(m, P) * m * P > kOperations) return std::nullopt;
  if (!f.at(Vector<double>::Zero(f.size()))) return std::nullopt;
  // F = J theta: what is left of Y outside the range of J
  const SingularPairs svd = singular_pairs(f.here().jacobian_transposed());  // J^T = left diag(s) right^T
  Vector<double> r = loss.data->Y.reshaped<Eigen::RowMajor>();
  const double targets = r.stableNorm();
  Index rank = 0;
  while (rank < svd.values.size() && svd.values[rank] > std::max(m, P) * kEps * svd.values[0]) ++rank;
  const auto range = svd.vectors.leftCols(rank);
  project_out(range, r);
  const double residual = r.stableNorm();
  if (!(residual > kClear * targets)) return std::nullopt;
  return residual * residual / 2;
}

}  // namespace basin
