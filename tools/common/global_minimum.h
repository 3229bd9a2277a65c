/// What a problem file and the model say of the global minimum before anything is searched.
#pragma once

#include <optional>
#include <string>

#include "common/setup.h"

namespace basin::tools {

struct GlobalMinimum {
  double loss;
  std::string source;        ///< where it is known from, in words
  std::string text() const;  ///< "global minimum f = 0 (the teacher reaches it)"
};

/// From /minimum or /teacher of the problem file, if f there is what is said, and by convexity; nothing where
/// it is not known.
std::optional<GlobalMinimum> global_minimum(const Setup& setup);

}  // namespace basin::tools
