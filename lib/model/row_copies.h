/// Rows of outputs that must be the same, whatever the weights.
#pragma once

#include <vector>

#include "basin/model/model_point.h"

namespace basin {

/// Of each row of outputs the number of its group, from 0 in the order in which groups begin, or -1 where it
/// does not count: rows of one group are copies. A row depends on its sample, and in a network that is causal
/// and keeps its tokens on the tokens up to its own alone: equal token ids, types, masks and inputs make
/// equal rows. counting: as counting_rows; empty: all rows.
std::vector<Index> row_groups(const ModelPoint<double>& point, const Mask& counting);

/// How many groups there are. Rows of J that are copies of others make a kernel singular.
Index distinct_rows(const ModelPoint<double>& point, const Mask& counting);

/// The least that a loss of classes (cross-entropy) can be with labels that contradict each other on rows
/// that are copies: outputs that are the shares of the labels in their group are the best there are, with a
/// loss of the entropy of these. 0 where none do, or where targets are numbers. Proven, but for the rounding
/// of the sum.
double least_loss_of_labels(const ModelPoint<double>& point);

}  // namespace basin
