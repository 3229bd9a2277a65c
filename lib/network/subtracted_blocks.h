/// Which blocks of a network make numbers that are subtracted from each other.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "basin/network/architecture.h"

namespace basin {

/// Pairs of blocks, by their full names, whose products with an input are subtracted from each other, so that
/// rounding in either is relative to the larger of both: W_Q and W_K of an attention with a Gaussian kernel,
/// which sees |q - k|, anywhere in the network.
std::vector<std::pair<std::string, std::string>> subtracted_blocks(const Architecture& architecture);

}  // namespace basin
