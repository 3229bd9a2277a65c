#include "problem/known_minimum.h"

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

}  // namespace basin
