/// What a slice found, in a few lines.
#pragma once

#include <string>
#include <vector>

#include "common/slice/directions.h"
#include "common/slice/file.h"
#include "common/slice/trajectory.h"

namespace basin::tools {

/// Lowest and highest loss, then what is not computed or not finite, then the ranges of other quantities.
std::vector<std::string> summary_lines(const SliceResult& result);

std::string direction_text(const std::string& name, const Direction& direction);

std::string trajectory_text(const PathOnPlane& path);

}  // namespace basin::tools
