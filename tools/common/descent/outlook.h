/// Where a descent is going, in words.
#pragma once

#include <string>
#include <vector>

#include "basin/stationary/valley.h"

namespace basin::tools {

/// "attention of blocks.1 is saturated: 97 % of its rows put more than 0.999 on one token"; empty unless half
/// of its rows are.
std::string attention_text(const LayerSaturation& layer);
/// The same of all layers, those that are saturated most; empty where none is.
std::vector<std::string> attention_lines(const std::vector<LayerSaturation>& layers);

/// That it runs to infinity above `least`, or that only symmetries let its weights grow; empty where neither
/// is so. steps: over which it was looked at.
std::string outlook_text(const Outlook& outlook, double least, Index steps);

}  // namespace basin::tools
