#include "basin/ntk/head_rank.h"

#include <algorithm>

namespace basin {

std::optional<Index> most_rank_behind_head(const Linearization<double>& at,
                                           const std::vector<std::string>& set, KernelRows rows) {
  const Architecture& a = at.model().architecture();
  const LayerDescription& head = a.layers.back();
  if (head.type != "linear" || a.layers.size() < 2) return std::nullopt;
  Shape input{};
  for_each_layer(a, [&](const LayerDescription& layer, Shape shape, const std::string&) {
    if (&layer == &head) input = shape;
  });
  const std::string prefix = block_prefixes(a.layers).back() + ".";
  const auto tied = head.options.find("weight.tied");
  const bool is_tied = tied != head.options.end() && !std::get<std::string>(tied->second).empty();
  const auto contains = [&](const std::string& block) {
    return std::find(set.begin(), set.end(), block) != set.end();
  };
  const Index C = at.model().network().output().width - (rows == KernelRows::centred ? 1 : 0),
              D = input.width, count = kernel_size(at, rows) / C, w = std::min(C, D);
  const Index maps = (contains(is_tied ? std::get<std::string>(tied->second) : prefix + "W") ? D : 0) +
                     (contains(prefix + "b") ? 1 : 0);
  return count * w + std::min(count, maps) * (C - w);
}

}  // namespace basin
