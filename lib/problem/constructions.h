/// Exact stationary points that are not global minima (stationary/MATHEMATICS.md, "Constructions").
#pragma once

#include <string>
#include <vector>

#include "basin/problem/known_minimum.h"

namespace basin {

struct Construction {
  std::string name;
  std::string trained;      ///< the blocks in which it is stationary: "W_Q"
  std::string description;  ///< what it is, in a sentence
  Problem problem;          ///< one sample, X = I, one head of dimension 1, one output
  /// Where f = 0 is attained, which depends on the kernel.
  KnownMinimum softmax_minimum, gaussian_minimum;
  const KnownMinimum& minimum(KernelKind kernel) const {
    return kernel == KernelKind::softmax ? softmax_minimum : gaussian_minimum;
  }
};

/// All of them, in the order of the page.
std::vector<Construction> constructions();

/// Throws InputError, listing the names there are.
Construction construction(const std::string& name);

}  // namespace basin
