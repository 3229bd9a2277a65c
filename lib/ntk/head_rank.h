/// How many independent rows J can have behind a narrow last layer.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "basin/ntk/trained_kernel.h"

namespace basin {

/// The most that the rank of J can be, for a set of trained blocks and whatever their numbers, where the
/// network ends in a linear layer z = h W + b of D inputs and C outputs: what lies below moves z inside the
/// range of W, at most min(C, D) numbers a row; W and b move it by linear maps of h and 1, at most D + 1 of
/// them for all rows together. With w = min(C, D) and a = min(rows, D if W is in the set + 1 if b is):
///
///     rank J <= rows w + a (C - w)
///
/// Nothing for another last layer.
std::optional<Index> most_rank_behind_head(const Linearization<double>& at,
                                           const std::vector<std::string>& set, KernelRows rows);

}  // namespace basin
