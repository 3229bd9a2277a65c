#include "basin/stationary/separation.h"

#include <algorithm>
#include <cmath>

#include "basin/model/labels.h"
#include "basin/model/perturbation.h"

namespace basin {
namespace {

/// Whether the network ends in a linear layer whose blocks are trained, and used nowhere else.
bool head_is_trained(const Model<double>& model) {
  const Architecture& a = model.architecture();
  const LayerDescription& head = a.layers.back();
  if (head.type != "linear") return false;
  if (const auto tied = head.options.find("weight.tied");
      tied != head.options.end() && !std::get<std::string>(tied->second).empty())
    return false;
  // a network of one layer has no prefix
  const std::string prefix = a.layers.size() == 1 ? "" : block_prefixes(a.layers).back() + ".";
  const auto bias = head.options.find("bias");
  const bool has_bias = bias == head.options.end() || std::get<bool>(bias->second);
  return model.parameters().find(prefix + "W").trainable() &&
         (!has_bias || model.parameters().find(prefix + "b").trainable());
}

}  // namespace

Separation separation_at(const Linearization<double>& at) {
  if (!at.loss_facts().centred || at.point().data->labels.empty() || !head_is_trained(at.model())) return {};
  Separation s = {smallest_margin(at), 0};
  if (!(s.margin > 0)) return s;
  for (std::uint64_t k = 0; k < 3; ++k) {
    const Linearization<double> other(at.point().perturbed(k), {.keep = false});
    s.error = std::max(s.error, 4 * std::abs(smallest_margin(other) - s.margin));
  }
  s.error += 16 * kEps * s.margin;
  return s;
}

}  // namespace basin
