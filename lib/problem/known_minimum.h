/// Where the global minimum of the loss is attained, so that it is known whatever a search finds.
#pragma once

#include <map>
#include <optional>
#include <string>

#include "basin/model/model_point.h"
#include "basin/problem/problem.h"

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

/// The weights of all blocks at which it is said to be attained: those of the point, with these blocks.
/// Nothing where it is said of another kernel or of other shapes. Throws InputError for another network than
/// the single layer.
std::optional<Vector<double>> attaining_weights(const KnownMinimum& known, const ModelPoint<double>& point);

}  // namespace basin
