#include "basin/curvature/step_maps.h"

#include "basin/network/layer_types.h"

namespace basin {

bool is_layer(const GraphStep& step, const char* type) {
  return step.kind == GraphStep::Kind::layer && step.layer.type == type;
}
bool is_norm(const GraphStep& step) {
  return step.kind == GraphStep::Kind::layer &&
         (step.layer.type == "layer-norm" || step.layer.type == "rms-norm");
}
bool is_relu(const GraphStep& step) {
  return is_layer(step, "activation") && option<std::string>(step.layer, "function") == "relu";
}
bool is_affine(const GraphStep& step) {
  return is_layer(step, "linear") || is_layer(step, "attention");
}

std::vector<const GraphStep*> readers_of(const NetworkGraph& graph, Index e) {
  std::vector<const GraphStep*> all;
  for (const GraphStep& step : graph.steps)
    for (const Index in : step.in)
      if (in == e) all.push_back(&step);
  return all;
}

StepBlocks::StepBlocks(const Visibility& seen) : seen_(seen) {
  for (const GraphStep& step : seen.graph().steps)
    if (is_layer(step, "linear") && Visibility::is_tied(step)) tied_.insert(seen.find(step, "W"));
}

WeightSlice StepBlocks::row(const GraphStep& step, const std::string& name) const {
  return slice(seen_.find(step, name), 1, seen_.edge(step.out).shape.width);
}

WeightSlice StepBlocks::linear(const GraphStep& step) const {
  return slice(seen_.find(step, "W"), seen_.edge(step.in.front()).shape.width,
               seen_.edge(step.out).shape.width, 0, Visibility::is_tied(step));
}

WeightSlice StepBlocks::table(const GraphStep& step, const std::string& name) const {
  const ParameterLayout::Entry* e = seen_.find(step, name);
  const Index D = seen_.edge(step.out).shape.width;
  return slice(e, e == nullptr ? 0 : e->block.size() / D, D);
}

WeightSlice StepBlocks::slice(const ParameterLayout::Entry* e, Index rows, Index cols, Index h,
                              bool transposed) {
  return {e, e == nullptr ? 0 : e->offset + h * rows * cols, rows, cols, transposed};
}

std::vector<AffineMap> maps_of_input(const Visibility& seen, const StepBlocks& blocks,
                                     const GraphStep& step) {
  if (is_layer(step, "linear")) return {{blocks.linear(step), blocks.row(step, "b")}};
  std::vector<AffineMap> all;
  const AttentionVisibility& a = seen.attention(step);
  for (std::size_t which = 0; which < 3; ++which)
    for (Index h = 0; h < static_cast<Index>(a.weights[which].size()); ++h)
      all.push_back({StepBlocks::slice(a.block[which], a.spec.embedding, a.spec.head_dim, h),
                     StepBlocks::slice(a.block[4 + which], 1, a.spec.head_dim, h)});
  return all;
}

AffineMap map_of_output(const Visibility& seen, const StepBlocks& blocks, const GraphStep& step) {
  if (is_layer(step, "linear")) return {blocks.linear(step), blocks.row(step, "b")};
  const AttentionVisibility& a = seen.attention(step);
  return {StepBlocks::slice(a.block[3], a.spec.heads * a.spec.head_dim, a.spec.outputs),
          StepBlocks::slice(a.block[7], 1, a.spec.outputs)};
}

}  // namespace basin
