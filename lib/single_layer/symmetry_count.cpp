#include "basin/single_layer/symmetry_count.h"

#include <algorithm>

#include "basin/single_layer/attention_view.h"

namespace basin {
namespace {

Index pairs(Index k) {
  return k * (k - 1) / 2;
}

struct Sizes {
  Index N, n, D, H, d, o, r_X, r, e;  // r: r~
  bool softmax;
};

/// Query-key part where scores determine the products.
Index scores(const Sizes& s, bool Q, bool K) {
  const auto [N, n, D, H, d, o, r_X, rc, e, softmax] = s;
  if (softmax && Q && K) {
    const Index r = std::min({d, r_X, rc});
    return H * (2 * D * d - r * (r_X + rc - r));
  }
  if (softmax) return H * (Q ? D * d - r_X * std::min(d, rc) : D * d - rc * std::min(d, r_X));
  if (Q && K) {
    const Index p = 2 * r_X - e, r = std::min(d, p);
    return H * ((2 * D - p) * d + pairs(d) - pairs(d - r));
  }
  const Index free = std::max<Index>(0, d - rc), q = std::min(free, r_X);
  return H * ((D - r_X) * d + pairs(q) + q * (free - q));
}

/// The same where every sample has its own gauge: X of full row rank.
Index scores_of_wide_data(const Sizes& s, bool Q, bool K) {
  const auto [N, n, D, H, d, o, r_X, rc, e, softmax] = s;
  if (softmax && Q && K) {
    const Index r = std::min(d, n - 1);
    return H * (2 * D * d - N * r * (2 * n - 1 - r));
  }
  if (softmax) return H * (Q ? D * d - N * n * std::min(d, n - 1) : D * d - N * (n - 1) * std::min(d, n));
  if (Q && K) {
    // The rigidity rank of the complete bipartite framework K_{n,n} in R^d (Bolker and Roth, 1980).
    const Index stress = std::max<Index>(0, n - d - 1);
    const Index rank = n * n - stress * stress - std::max<Index>(0, 2 * n - (d + 1) * (d + 2) / 2);
    return H * (2 * D * d - N * rank);
  }
  return H * (D * d - N * n * std::min(d, n));
}

Index values(const Sizes& s, bool V, bool O) {
  const auto [N, n, D, H, d, o, r_X, rc, e, softmax] = s;
  Index count = 0;
  if (V && O) {
    const Index r = std::min({d, r_X, o});
    count = H * (d * (D + o) - r * (r_X + o - r));
  } else if (V) {
    count = H * (D * d - r_X * std::min(d, o));
  } else if (O) {
    const Index seen = softmax ? rc : r_X, constants = softmax ? e : 0;
    count = o * (H * d - H * std::min(d, seen) - std::min(constants, H * std::max<Index>(0, d - seen)));
  }
  if (softmax && V) {
    // Constants in one head, less what does not sum to zero over the heads.
    const Index r_O = std::min(d, o), q = O ? std::min(e, std::max<Index>(0, d - rc)) : 0;
    const Index all_r = std::min(o, H * r_O), all_q = std::min(e, H * q);
    count += H * (e * r_O + q * (o - r_O)) - e * all_r - all_q * (o - all_r);
  }
  return count;
}

}  // namespace

Index symmetry_count(const ModelPoint<double>& point, const DataFeatures& features) {
  const AttentionView at(point, "the number of symmetries");
  const AttentionSpec& spec = at.spec();
  const Index samples = at.data().samples, rank = features.rank();
  const Sizes s = {samples,
                   spec.tokens,
                   spec.embedding,
                   spec.heads,
                   spec.head_dim,
                   spec.outputs,
                   rank,
                   features.rank_centred(),
                   features.constant.cols(),
                   at.softmax()};
  const bool Q = at.trains(kQ), K = at.trains(kK), wide = rank == samples * spec.tokens;
  Index count = values(s, at.trains(kV), at.trains(kO));
  if (Q || K) count += wide ? scores_of_wide_data(s, Q, K) : scores(s, Q, K);
  const bool row_scale = !s.softmax && (Q || K) && (at.trains(kV) || at.trains(kO)) && s.d >= 2 * s.r_X - s.e;
  if (row_scale && bias_feature(features, at.data()).cols() > 0) count += s.H;
  return count;
}

}  // namespace basin
