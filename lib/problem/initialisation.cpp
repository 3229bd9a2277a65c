#include "basin/problem/initialisation.h"

#include <algorithm>
#include <cmath>

#include "basin/linalg/dense.h"
#include "basin/linalg/errors.h"
#include "basin/linalg/random.h"

namespace basin {
namespace {

/// fan_in x fan_out with orthonormal columns or rows.
Matrix<double> orthogonal(Index rows, Index cols, Random& random) {
  Vectors<double> G(std::max(rows, cols), std::min(rows, cols));
  random.fill_normal(G);
  auto [Q, R] = orthogonal_triangular(G);
  for (Index j = 0; j < Q.cols(); ++j)
    if (R(j, j) < 0) Q.col(j) = -Q.col(j);
  if (rows < cols) return Q.transpose();
  return Q;
}

Matrix<double> draw(const std::string& method, Index rows, Index cols, Index fan_in, Random& random) {
  Matrix<double> W(rows, cols);
  if (method == "gaussian") {
    random.fill_normal(W);
    W /= std::sqrt(static_cast<double>(fan_in));
  } else if (method == "xavier") {
    const double a = std::sqrt(6.0 / static_cast<double>(fan_in + cols));
    random.fill_uniform(W, -a, a);
  } else if (method == "orthogonal") {
    W = orthogonal(rows, cols, random);
  } else {
    throw InputError("unknown initialisation '" + method + "'; expected gaussian, xavier or orthogonal");
  }
  return W;
}

/// The numbers of a block, in C order.
void fill(const std::string& method, const ParameterBlock& block, Random& random, double* values) {
  const Index rows = block.rows(), cols = block.cols(), slices = block.slices();
  if (block.role == BlockRole::shift || block.role == BlockRole::scale) {
    std::fill_n(values, block.size(), block.role == BlockRole::scale ? 1.0 : 0.0);
    return;
  }
  const bool stacked = block.role == BlockRole::stacked_map;
  const Index inputs = stacked ? slices * rows : rows, outputs = stacked ? cols : slices * cols;
  const Matrix<double> W = draw(method, inputs, outputs, block.role == BlockRole::table ? 1 : inputs, random);
  for (Index h = 0; h < slices; ++h)
    Eigen::Map<Matrix<double>>(values + h * rows * cols, rows, cols) =
        stacked ? W.block(h * rows, 0, rows, cols) : W.block(0, h * cols, rows, cols);
}

}  // namespace

Vector<double> draw_weights(const std::vector<ParameterBlock>& blocks, const Initialisation& initialisation) {
  std::map<std::string, double> gains;
  for (const auto& [pattern, gain] : initialisation.gains) {
    if (!std::isfinite(gain)) throw InputError("gain of " + pattern + ": expected a finite number");
    for (const std::string& name : matching_blocks({pattern}, blocks))
      if (!gains.emplace(name, gain).second) throw InputError("gain of " + name + ": given twice");
  }
  const ParameterLayout layout(blocks, matching_blocks({"*"}, blocks));
  Vector<double> weights(layout.weight_count());
  for (const auto& [block, offset, theta_offset] : layout.entries()) {
    Random random(initialisation.seed, initialisation.stream + " " + block.name);
    auto all = weights.segment(offset, block.size());
    fill(initialisation.method, block, random, all.data());
    if (const auto gain = gains.find(block.name); gain != gains.end()) all *= gain->second;
  }
  return weights;
}

AttentionWeights draw_weights(const AttentionSpec& spec, const Initialisation& initialisation) {
  return {spec.heads, spec.head_dim, draw_weights(blocks(single_attention(spec)), initialisation)};
}

}  // namespace basin
