/// What is measured of one initialisation (single_layer/initial_kernels.h), by the names that files have.
#pragma once

#include <string>
#include <vector>

#include "basin/problem/problem.h"

namespace basin::tools {

/// A named number, "sum/lambda_min" or "loss": of a kernel or condition, or of the whole.
struct Quantity {
  std::string name;
  double value;             ///< NaN where it does not apply
  bool is_verdict = false;  ///< 0 or 1: whether something holds
};

struct CellOptions {
  std::vector<std::string> train;  ///< trainable blocks
};

/// The quantities of every cell with these options, in order, all NaN. Names and order depend on nothing
/// that a sweep varies, the trainable blocks included.
std::vector<Quantity> cell_quantities(const CellOptions& options);

/// Measures the problem at its weights. Throws InputError for an impossible model, WorkError when a number is
/// not finite.
std::vector<Quantity> measure_cell(const Problem& problem, const CellOptions& options);

/// Bytes that measure_cell needs at the peak. Throws InputError for an impossible model.
double cell_bytes(const Problem& problem, const CellOptions& options);

}  // namespace basin::tools
