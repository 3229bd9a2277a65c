/// Where the global minimum of the loss is attained, so that it is known whatever a search finds.
#pragma once

#include <map>
#include <string>

#include "problem/problem.h"

namespace basin {

/// f = loss, its global minimum, at the weights of the problem with these blocks instead of its own. It holds
/// where these blocks are trained, or held at these values, and the others are those of the problem: f there
/// says whether it does (stationary/known_minimum.h).
struct KnownMinimum {
  double loss = 0;
  std::string reason;  ///< why, in words: "the teacher reaches it"
  KernelKind kernel = KernelKind::softmax;
  double bandwidth = 0;                          ///< sigma; 0 stands for the default
  Index heads = 0, head_dim = 0;                 ///< H, d
  std::map<std::string, Vector<double>> blocks;  ///< by name, in C order
};

/// Of the problem's teacher, with W_O times target_scale as the targets are; for targets without noise.
KnownMinimum teacher_minimum(const Problem& problem, double target_scale);

}  // namespace basin
