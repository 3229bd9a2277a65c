/// Rows of outputs that must be the same, whatever the weights.
#pragma once

#include "basin/model/model_point.h"

namespace basin {

/// How many different rows of outputs there can be among those that are counted: rows of J that are copies of
/// others make a kernel singular. A row depends on its sample, and in a network that is causal and keeps its
/// tokens on the tokens up to its own alone: equal token ids, types, masks and inputs make equal rows.
/// counting: as counting_rows; empty: all rows.
Index distinct_rows(const ModelPoint<double>& point, const Mask& counting);

}  // namespace basin
