#include "basin/problem/known_minimum.h"

#include "basin/model/attention_model.h"

namespace basin {

KnownMinimum teacher_minimum(const Problem& problem, double target_scale) {
  const Network& teacher = *problem.teacher;
  const auto& [H, d, values] = *teacher.weights;
  KnownMinimum minimum{0, "the teacher reaches it", teacher.kernel, teacher.bandwidth, H, d, {}};
  Index offset = 0;
  for (const std::string& name : attention_blocks()) {
    const Index size = H * d * (name == "W_O" ? problem.outputs() : problem.embedding());
    minimum.blocks[name] = values.segment(offset, size) * (name == "W_O" ? target_scale : 1);
    offset += size;
  }
  return minimum;
}

std::optional<Vector<double>> attaining_weights(const KnownMinimum& known, const ModelPoint<double>& point) {
  const std::optional<AttentionSpec> s = single_attention(point);
  if (!s) return std::nullopt;
  AttentionSpec there = *s;
  there.bandwidth = known.bandwidth;
  const bool same_kernel =
      known.kernel == s->kernel && (s->kernel != KernelKind::gaussian || there.sigma() == s->sigma());
  const bool same_shapes = known.blocks.empty() || (known.heads == s->heads && known.head_dim == s->head_dim);
  if (!same_kernel || !same_shapes) return std::nullopt;
  Vector<double> at = point.weights;
  for (const auto& [name, values] : known.blocks) {
    const ParameterLayout::Entry& e = point.parameters().find(name);
    at.segment(e.offset, e.block.size()) = values;
  }
  return at;
}

}  // namespace basin
