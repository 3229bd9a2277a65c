/// How an iterative solver ended.
#pragma once

#include <string>

#include "basin/linalg/types.h"

namespace basin {

struct SolverStatus {
  bool converged = false;
  Index products = 0;  ///< vectors multiplied by the operator
  std::string text;    ///< why it stopped: a sentence with numbers
};

}  // namespace basin
