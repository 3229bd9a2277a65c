/// The data in small batches.
#pragma once

#include <cstdint>
#include <vector>

#include "basin/model/model_point.h"

namespace basin {

/// These samples of the data, in this order.
Data<double> samples_of(const Data<double>& data, const std::vector<Index>& samples);

/// The order in which N samples are taken in an epoch: as they are, or another one for each seed and epoch,
/// the same everywhere.
std::vector<Index> epoch_order(Index samples, bool shuffled, std::uint64_t seed, Index epoch);

}  // namespace basin
