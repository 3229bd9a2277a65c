/// Named numbers of a draw.
#pragma once

#include <string>
#include <vector>

#include "basin/ntk/kernel_minimum.h"

namespace basin::tools {

/// A named number, "sum/lambda_min" or "loss": of a kernel, a condition or a spectrum, or of the whole.
struct Quantity {
  std::string name;
  double value;             ///< NaN where it does not apply
  bool is_verdict = false;  ///< 0 or 1: whether something holds
};

/// Gives the quantity of that name a value. Throws std::logic_error where there is none.
void set(std::vector<Quantity>& quantities, const std::string& name, double value);
/// Those of a kernel, "NAME/lambda_min" and so on: its ends, rank and verdict. Throws as `set`.
void set_kernel(std::vector<Quantity>& quantities, const std::string& name, const KernelMinimum& minimum);

}  // namespace basin::tools
