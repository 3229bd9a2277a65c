/// What basin-hessian finds, in words.
#pragma once

#include <string>

#include "basin/curvature/balanced_point.h"
#include "basin/curvature/pseudo_symmetries.h"
#include "basin/curvature/symmetries.h"
#include "basin/stationary/stationarity.h"
#include "common/command/command.h"
#include "common/spectrum/results.h"

namespace basin::tools {

/// What is known of negative curvature, in one sentence, of one matrix; and, with a point, whether that is
/// stationary.
std::string curvature_verdict(const SpectrumResults& results, const Stationarity* point = nullptr);

/// Whether the point is stationary. curvature: the largest eigenvalue in size; negative: whether one is
/// below 0.
std::string stationarity_text(const Stationarity& point, double curvature, bool negative);

/// The summary, after the verdict.
void say_results(Command& command, const SpectrumResults& results);

/// "8 symmetry modes: query-key gauge 4, value-output gauge 4"
std::string text(const Symmetries& symmetries);

/// What almost-symmetries there are, and how near to zero modes; empty where there is none.
std::string text(const std::vector<PseudoSymmetry>& pseudo);

/// Where counts modulo symmetries are of; length: |theta|.
std::string text(const BalancedPoint& balanced, double length);

}  // namespace basin::tools
