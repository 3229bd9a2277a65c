#include "basin/single_layer/plane_projections.h"

#include <cmath>

#include "basin/linalg/product.h"
#include "basin/linalg/simd.h"
#include "basin/network/exact_centring.h"

namespace basin {
PlaneWeights::PlaneWeights(const ModelPoint<double>& point, const Vector<double>& u,
                           const Vector<double>& v) {
  const AttentionView at(point, "the structured way of a plane");
  spec = at.spec();
  value_width = padded<double>(spec.outputs);
  const Index D = spec.embedding, H = spec.heads, d = spec.head_dim;
  const double scale_q = at.softmax() ? 1 / std::sqrt(static_cast<double>(d)) : 1 / spec.sigma();
  const double scale_k = at.softmax() ? 1 : 1 / spec.sigma();
  const std::array parts = {at.of_weights(point.weights), at.of_theta(u), at.of_theta(v)};
  const auto side_by_side = [&](AttentionBlock b, double scale, std::array<Matrix<double>, 3>& to) {
    for (std::size_t p = 0; p < 3; ++p) {
      if (!parts[p].has(b)) continue;
      to[p].resize(D, H * d);
      for (Index h = 0; h < H; ++h) to[p].middleCols(h * d, d) = scale * parts[p](b, 0, h);
    }
  };
  side_by_side(kQ, scale_q, queries);
  side_by_side(kK, scale_k, keys);
  for (std::size_t i = 0; i < 3; ++i)
    for (std::size_t j = 0; j < 3; ++j) {
      if (!parts[i].has(kV) || !parts[j].has(kO)) continue;
      Matrix<double>& sum = value[kProduct[i][j]];
      if (sum.size() == 0) sum = Matrix<double>::Zero(D, H * value_width);
      for (Index h = 0; h < H; ++h)
        sum.middleCols(h * value_width, spec.outputs).noalias() += parts[i](kV, 0, h) * parts[j](kO, 0, h);
    }
}

void PlaneProjections::compute(const PlaneWeights& weights, ConstMatrixRef<double> x) {
  const AttentionSpec& spec = weights.spec;
  const Index n = spec.tokens, H = spec.heads, d = spec.head_dim, e = weights.value_width;
  thread_local Batch<double> memory;
  const auto project = [&](const Matrix<double>& W) {
    memory.resize(1, n, W.cols());
    sum_of_products<double>({{tile(x), tile(W)}}, tile(memory[0]));
  };
  for (std::size_t p = 0; p < 3; ++p) {
    queries_t[p].clear();
    keys[p].clear();
    if (weights.queries[p].size() > 0) {
      project(weights.queries[p]);
      queries_t[p].resize(H, d, padded<double>(n));
      for (Index h = 0; h < H; ++h)
        transpose<double>(tile(memory[0]).middle_cols(h * d, d), tile(queries_t[p][h]));
    }
    if (weights.keys[p].size() > 0) {
      project(weights.keys[p]);
      if (spec.kernel == KernelKind::softmax) centre_exactly<double>({tile(memory[0])});
      keys[p].resize(H, n, d);
      for (Index h = 0; h < H; ++h) keys[p][h] = memory[0].middleCols(h * d, d);
    }
  }
  for (std::size_t c = 0; c < kMonomials; ++c) {
    value[c].clear();
    if (weights.value[c].size() == 0) continue;
    project(weights.value[c]);
    value[c].resize(H, n, e);
    for (Index h = 0; h < H; ++h) value[c][h] = memory[0].middleCols(h * e, e);
  }
}

double projection_bytes(const AttentionSpec& spec) {
  const Index n = padded<double>(spec.tokens);
  return 8.0 * static_cast<double>(n * spec.heads) *
         static_cast<double>(6 * spec.head_dim + 6 * padded<double>(spec.outputs));
}

}  // namespace basin
