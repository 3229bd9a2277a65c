#include "basin/single_layer/attention_rounding.h"

#include <cmath>
#include <limits>

namespace basin {

std::vector<double> centring_rounding(const AttentionFactors& f, const std::vector<std::string>& blocks) {
  const Index n = f.spec.tokens;
  double of_queries = 0, of_keys = 0;
  for (const HeadFactors& h : f.heads) {
    if (f.spec.kernel != KernelKind::softmax) break;
    for (Index a = 0; a < f.tokens(); ++a) {
      const Index first = a - a % n;
      const auto X = f.data->X.middleRows(first, n);
      const Vector<double> s = h.S.row(a), keys = h.K.middleRows(first, n).rowwise().norm();
      const Matrix<double> size = h.V.middleRows(first, n).cwiseAbs();
      const double x = f.data->X.row(a).norm(), q = h.Q.row(a).norm();
      for (Index o = 0; o < f.spec.outputs; ++o) {
        // |s_l (v_l - s^T v)| is off by so many eps, l = 1 .. n.
        const Vector<double> error = s.array() * (size.col(o).array() + s.dot(size.col(o)));
        of_queries = std::hypot(of_queries, x * error.dot(keys));
        of_keys = std::hypot(of_keys, q * error.dot(X.rowwise().norm()));
      }
    }
  }
  // Sums over n numbers: in s itself, in s^T v and in what multiplies keys and queries.
  const double unit = static_cast<double>(2 * n + 4) * std::numeric_limits<double>::epsilon() /
                      std::sqrt(static_cast<double>(f.spec.head_dim));
  std::vector<double> bounds;
  for (const AttentionBlock b : blocks_named(blocks))
    bounds.push_back(unit * (b == kQ ? of_queries : b == kK ? of_keys : 0));
  return bounds;
}

}  // namespace basin
