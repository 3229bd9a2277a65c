#include "basin/stationary/constant_symmetries.h"

#include <algorithm>
#include <cmath>

#include "basin/network/attention_spec.h"
#include "basin/network/layer_types.h"

namespace basin {
namespace {

/// Adds {u c^T : u in the span of `features`, any c} of a block, or of its transpose, if it is trained.
void add(const ModelPoint<double>& point, const std::string& name, const std::string& block, bool transposed,
         const Vectors<double>& features, std::vector<Symmetries::Named>& families) {
  const ParameterLayout::Entry& e = point.parameters().find(block);
  if (!e.trainable()) return;
  const BlockSlice all = {{e.theta_offset, e.block.rows(), e.block.cols()}, 0, transposed};
  families.push_back({name, std::make_unique<FeatureFamily>(all, features)});
}

void add_key_biases(const ModelPoint<double>& point, std::vector<Symmetries::Named>& families) {
  for_each_layer(point.model->architecture(),
                 [&](const LayerDescription& layer, Shape input, const std::string& prefix) {
                   if (layer.type != "attention") return;
                   const AttentionSpec spec = attention_spec(with_defaults(layer), input);
                   if (spec.kernel != KernelKind::softmax || !spec.options.has_bias('k') ||
                       spec.options.rotary.dimensions > 0)
                     return;
                   const Index G = spec.kv_heads();
                   add(point, "key bias", prefix + "b_K", false, Vectors<double>::Identity(G, G), families);
                 });
}

void add_class_shift(const ModelPoint<double>& point, std::vector<Symmetries::Named>& families) {
  const Architecture& a = point.model->architecture();
  if (!point.model->loss().facts().centred || a.layers.back().type != "linear") return;
  const LayerDescription last = with_defaults(a.layers.back());
  const std::string prefix = a.layers.size() == 1 ? "" : block_prefixes(a.layers).back() + ".";
  const auto C = static_cast<double>(point.model->network().output().width);
  const Vectors<double> same = Vectors<double>::Constant(static_cast<Index>(C), 1, 1 / std::sqrt(C));
  const std::vector<ParameterBlock> all = blocks(a);
  const bool shared =
      std::any_of(all.begin(), all.end(), [&](const ParameterBlock& b) { return b.tied_to == prefix + "W"; });
  if (option<std::string>(last, "weight.tied").empty() && !shared)
    add(point, "class shift", prefix + "W", true, same, families);
  if (option<bool>(last, "bias")) add(point, "class shift", prefix + "b", true, same, families);
}

}  // namespace

std::vector<Symmetries::Named> constant_symmetries(const ModelPoint<double>& point) {
  std::vector<Symmetries::Named> families;
  add_key_biases(point, families);
  add_class_shift(point, families);
  return families;
}

}  // namespace basin
