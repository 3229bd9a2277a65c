#include "basin/curvature/constant_symmetries.h"

#include <algorithm>
#include <cmath>

#include "basin/network/attention_spec.h"
#include "basin/network/layer_types.h"

namespace basin {
namespace {

/// {u c^T : u in the span of `features`, any c} of a block, or of its transpose.
struct Directions {
  std::string block;
  bool transposed;
  Vectors<double> features;
  bool shifts_classes;
};

void add_key_biases(const Model<double>& model, std::vector<Directions>& known) {
  for_each_layer(model.architecture(),
                 [&](const LayerDescription& layer, Shape input, const std::string& prefix) {
                   if (layer.type != "attention") return;
                   const AttentionSpec spec = attention_spec(with_defaults(layer), input);
                   if (spec.kernel != KernelKind::softmax || !spec.options.has_bias('k') ||
                       spec.options.rotary.dimensions > 0)
                     return;
                   const Index G = spec.kv_heads();
                   known.push_back({prefix + "b_K", false, Vectors<double>::Identity(G, G), false});
                 });
}

void add_class_shift(const Model<double>& model, std::vector<Directions>& known) {
  const Architecture& a = model.architecture();
  if (!model.loss().facts().centred || a.layers.back().type != "linear") return;
  const LayerDescription last = with_defaults(a.layers.back());
  const std::string prefix = a.layers.size() == 1 ? "" : block_prefixes(a.layers).back() + ".";
  const auto C = static_cast<double>(model.network().output().width);
  const Vectors<double> same = Vectors<double>::Constant(static_cast<Index>(C), 1, 1 / std::sqrt(C));
  const std::vector<ParameterBlock> all = blocks(a);
  const bool shared =
      std::any_of(all.begin(), all.end(), [&](const ParameterBlock& b) { return b.tied_to == prefix + "W"; });
  if (option<std::string>(last, "weight.tied").empty() && !shared)
    known.push_back({prefix + "W", true, same, true});
  if (option<bool>(last, "bias")) known.push_back({prefix + "b", true, same, true});
}

std::vector<Directions> constant_directions(const Model<double>& model) {
  std::vector<Directions> known;
  add_key_biases(model, known);
  add_class_shift(model, known);
  return known;
}

}  // namespace

std::vector<Symmetries::Named> constant_symmetries(const ModelPoint<double>& point) {
  std::vector<Symmetries::Named> families;
  for (const Directions& known : constant_directions(*point.model)) {
    const ParameterLayout::Entry& e = point.parameters().find(known.block);
    if (!e.trainable()) continue;
    const BlockSlice all = {{e.theta_offset, e.block.rows(), e.block.cols()}, 0, known.transposed};
    families.push_back({known.shifts_classes ? "class shift" : "key bias",
                        std::make_unique<FeatureFamily>(all, known.features)});
  }
  return families;
}

Index unseen_directions(const Model<double>& model, const std::vector<std::string>& blocks,
                        bool up_to_class_shift) {
  Index count = 0;
  for (const Directions& known : constant_directions(model)) {
    if (known.shifts_classes && !up_to_class_shift) continue;
    if (std::find(blocks.begin(), blocks.end(), known.block) == blocks.end()) continue;
    const ParameterBlock& block = model.parameters().find(known.block).block;
    count += known.features.cols() * (known.transposed ? block.rows() : block.cols());
  }
  return count;
}

}  // namespace basin
