#include "basin/single_layer/natural_length.h"

#include <cmath>

#include "basin/single_layer/attention_view.h"

namespace basin {

double attention_length(const ModelPoint<double>& point) {
  const AttentionView view(point, "the natural length of weights");
  const AttentionSpec& spec = view.spec();
  const Data<double>& data = view.data();
  const auto rows = static_cast<double>(data.X.rows()), H = static_cast<double>(spec.heads),
             d = static_cast<double>(spec.head_dim);
  const double x = data.X.stableNorm() / std::sqrt(static_cast<double>(data.X.size()));
  if (!(x > 0)) return 1;                     // no weight has an effect
  const auto fixed = [&](AttentionBlock b) {  // 0 where trained
    const auto& e = view.entry(b);
    return e.trainable() ? 0.0 : point.weights.segment(e.offset, e.block.size()).stableNorm();
  };
  // |query| |key| for scores of order one; a fixed block of them determines the other's.
  const double score = std::sqrt(d);
  double squares = 0;
  for (const auto& [b, other_block] : {std::pair{kQ, kK}, {kK, kQ}}) {
    if (!view.trains(b)) continue;
    const double other = fixed(other_block) * x / std::sqrt(H);  // a key (query) of a head
    const double size = spec.kernel == KernelKind::gaussian ? spec.sigma()
                        : other > 0                         ? score / other
                                                            : std::sqrt(score);
    squares += H * size * size / (x * x);
  }
  // |W_V| |W_O| for outputs of the size of the targets
  const double both = std::sqrt(H * d) * data.Y.stableNorm() / std::sqrt(rows) / x;
  for (const auto& [b, other_block] : {std::pair{kV, kO}, {kO, kV}}) {
    if (!view.trains(b)) continue;
    const double other = fixed(other_block);
    squares += other > 0 ? both * both / (other * other) : both;
  }
  return std::sqrt(squares);
}

}  // namespace basin
