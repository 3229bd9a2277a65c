/// Synthetic problems: Gaussian inputs, targets from a random network or random.
#pragma once

#include "basin/problem/initialisation.h"

namespace basin {

struct TeacherOptions {
  Index samples = 16, tokens = 8, embedding = 32, outputs = 8;  ///< N, n, D, D_out
  double input_scale = 1;                                       ///< X: N(0, input_scale^2)
  double target_scale = 1;  ///< factor on the teacher's outputs or random targets
  double noise = 0;         ///< N(0, noise^2) added to the targets
  std::uint64_t data_seed = 0;
  bool random_targets = false;  ///< Y: N(0, target_scale^2) instead of a teacher

  KernelKind teacher_kernel = KernelKind::softmax;
  double teacher_bandwidth = 0;
  Index teacher_heads = 2, teacher_head_dim = 8;
  Initialisation teacher_initialisation;

  TeacherOptions() { teacher_initialisation.stream = "teacher"; }
};

/// Inputs, targets and the teacher; no student weights. Throws InputError for impossible sizes and scales,
/// and WorkError when the teacher's outputs are not finite.
Problem make_teacher_problem(const TeacherOptions& options);

}  // namespace basin
