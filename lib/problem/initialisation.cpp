#include "basin/problem/initialisation.h"

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

Matrix<double> draw(const std::string& method, Index fan_in, Index fan_out, Random& random) {
  Matrix<double> W(fan_in, fan_out);
  if (method == "gaussian") {
    random.fill_normal(W);
    W /= std::sqrt(static_cast<double>(fan_in));
  } else if (method == "xavier") {
    const double a = std::sqrt(6.0 / static_cast<double>(fan_in + fan_out));
    random.fill_uniform(W, -a, a);
  } else if (method == "orthogonal") {
    W = orthogonal(fan_in, fan_out, random);
  } else {
    throw InputError("unknown initialisation '" + method + "'; expected gaussian, xavier or orthogonal");
  }
  return W;
}

}  // namespace

AttentionWeights draw_weights(const AttentionSpec& spec, const Initialisation& initialisation) {
  const auto model = build_single_attention<double>(spec);
  const ParameterLayout& layout = model->parameters();
  for (const auto& [name, gain] : initialisation.gains) {
    layout.find(name);
    if (!std::isfinite(gain)) throw InputError("gain of " + name + ": expected a finite number");
  }
  AttentionWeights weights{spec.heads, spec.head_dim, Vector<double>(layout.weight_count())};
  for (const auto& entry : layout.entries()) {
    const auto& block = entry.block;
    const bool output = block.name == "W_O";
    const Index rows = block.rows(), cols = block.cols();
    Random random(initialisation.seed, initialisation.stream + " " + block.name);
    const Matrix<double> W = draw(initialisation.method, output ? spec.heads * rows : rows,
                                  output ? cols : spec.heads * cols, random);
    const auto gain = initialisation.gains.find(block.name);
    for (Index h = 0; h < spec.heads; ++h) {
      Eigen::Map<Matrix<double>> slice(weights.values.data() + entry.offset + h * rows * cols, rows, cols);
      slice = output ? W.block(h * rows, 0, rows, cols) : W.block(0, h * cols, rows, cols);
      if (gain != initialisation.gains.end()) slice *= gain->second;
    }
  }
  return weights;
}

}  // namespace basin
