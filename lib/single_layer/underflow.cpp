#include "basin/single_layer/underflow.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "basin/single_layer/attention_view.h"

namespace basin {

double attention_underflow(const ModelPoint<double>& point) {
  const AttentionView at(point, "what underflow takes from products");
  const AttentionSpec& spec = at.spec();
  const Data<double>& data = at.data();
  if (data.X.isZero(0)) return 0;  // then so is every term, and nothing is lost
  // Every factor that a lost number may be multiplied by, and at least 1, so that no partial product of them
  // is larger than the product of all.
  const auto size = [](const auto& values) { return std::max(1.0, values.stableNorm()); };
  const auto block = [&](AttentionBlock b) {
    const ParameterLayout::Entry& e = at.entry(b);
    return size(point.weights.segment(e.offset, e.block.size()));
  };
  const double sigma = spec.sigma(), n = static_cast<double>(spec.tokens), x = size(data.X);
  const double precision = at.softmax() ? 1 : std::max(1.0, 1 / (sigma * sigma));
  const double scores = 2 * precision * x * x * (block(kQ) + block(kK));  // and their derivatives
  const double values = x * block(kV) * block(kO);
  const double residual = n * values + size(data.Y);
  const double jacobian = 2 * n * scores * values, second = 4 * n * scores * scores * values;
  const double operations = 16.0 * static_cast<double>(data.samples * spec.heads) * n * n *
                            static_cast<double>(spec.embedding + spec.head_dim + spec.outputs);
  return std::numeric_limits<double>::min() * operations * (jacobian * jacobian + residual * second);
}

}  // namespace basin
