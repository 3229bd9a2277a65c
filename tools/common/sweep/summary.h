/// What a sweep found, in a few lines.
#pragma once

#include <string>
#include <vector>

#include "common/sweep/file.h"

namespace basin::tools {

/// The verdict that a sweep is about: positive definiteness of the sum's NTK, or else the first there is; -1
/// if there is none.
int leading_verdict(const SweepResult& result);

/// Verdicts over all draws; a table of the leading one along the first axis; where it crosses 1/2.
std::vector<std::string> summary_lines(const SweepResult& result);

}  // namespace basin::tools
