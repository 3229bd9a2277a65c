#include "basin/training/mini_batches.h"

#include <algorithm>
#include <numeric>
#include <string>
#include <utility>

#include "basin/linalg/random.h"

namespace basin {

Data<double> samples_of(const Data<double>& data, const std::vector<Index>& samples) {
  const auto count = static_cast<Index>(samples.size());
  const auto rows = [&](const Matrix<double>& of) {
    const Index each = of.rows() / data.samples;
    Matrix<double> part(each * count, of.cols());
    if (part.size() == 0) return part;  // token ids, or labels
    for (Index i = 0; i < count; ++i)
      part.middleRows(i * each, each) = of.middleRows(samples[i] * each, each);
    return part;
  };
  const auto entries = [&](const auto& of) {
    const auto each = static_cast<Index>(of.size()) / data.samples;
    std::decay_t<decltype(of)> part;
    part.reserve(static_cast<std::size_t>(each * count));
    for (const Index sample : samples)
      part.insert(part.end(), of.begin() + sample * each, of.begin() + (sample + 1) * each);
    return part;
  };
  return {count,
          rows(data.X),
          rows(data.Y),
          entries(data.ids),
          entries(data.mask),
          entries(data.types),
          entries(data.labels)};
}

std::vector<Index> epoch_order(Index samples, bool shuffled, std::uint64_t seed, Index epoch) {
  std::vector<Index> order(static_cast<std::size_t>(samples));
  std::iota(order.begin(), order.end(), Index{0});
  if (!shuffled) return order;
  Random random(seed, "epoch " + std::to_string(epoch));
  for (Index i = samples - 1; i > 0; --i)  // Fisher and Yates
    std::swap(order[i],
              order[std::min(i, static_cast<Index>(random.uniform() * static_cast<double>(i + 1)))]);
  return order;
}

}  // namespace basin
