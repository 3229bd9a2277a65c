#include "basin/linalg/statistics.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace basin {
namespace {}  // namespace

double quantile(const std::vector<double>& ascending, double p) {
  if (ascending.empty()) return kNaN;
  const double place = p * static_cast<double>(ascending.size() - 1);
  const auto below = static_cast<std::size_t>(place);
  const double low = ascending[below], high = ascending[std::min(below + 1, ascending.size() - 1)];
  const double part = place - static_cast<double>(below);
  return part == 0 || low == high ? low : low + part * (high - low);  // the difference of infinities is NaN
}

Interval wilson_interval(double share, double total, double z) {
  const double n = total, scale = 1 / (1 + z * z / n);
  const double centre = scale * (share + z * z / (2 * n));
  const double half = scale * z * std::sqrt(share * (1 - share) / n + z * z / (4 * n * n));
  // At 0 and 1 the end is exact, up to rounding
  return {share == 0 ? 0 : centre - half, share == 1 ? 1 : centre + half};
}

Interval wilson_interval(Index passed, Index total) {
  if (total == 0) return {kNaN, kNaN};
  constexpr double z = 1.959963984540054;  // 97.5 % point of N(0, 1)
  const auto n = static_cast<double>(total);
  return wilson_interval(static_cast<double>(passed) / n, n, z);
}

}  // namespace basin
