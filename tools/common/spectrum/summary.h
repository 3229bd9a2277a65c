/// What basin-hessian finds, in words.
#pragma once

#include <string>

#include "common/command/command.h"
#include "common/spectrum/file.h"

namespace basin::tools {

/// What tells whether the point is stationary.
struct Stationarity {
  double gradient = 0, gradient_error = 0;  ///< |grad f|, and what rounding does to the gradient
  double largest_gradient = 0;              ///< |J| |F - Y|, about: no gradient is longer
  double residual = 0, residual_error = 0;  ///< |r|, r = dl/dF: F - Y for a quadratic loss
  double targets = 0;                       ///< |Y|
  double theta = 0;                         ///< |theta|
  bool attainable = true;                   ///< whether outputs attain the infimum of the loss
  bool quadratic = true;
};

/// What is known of negative curvature, in one sentence, of one matrix; and, with a point, whether that is
/// stationary.
std::string curvature_verdict(const SpectrumResults& results, const Stationarity* point = nullptr);

/// Whether negative curvature is excluded: by exact counts, or all eigenvalues.
bool has_no_negative_curvature(const SpectrumResults& results);

/// The summary, after the verdict.
void say_results(Command& command, const SpectrumResults& results);

}  // namespace basin::tools
