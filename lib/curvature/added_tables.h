/// Tables whose rows are added to each other, as of tokens, types and positions.
#pragma once

#include <functional>
#include <vector>

#include "basin/curvature/visibility.h"
#include "basin/curvature/weight_tangents.h"

namespace basin {

/// Changes of the rows of tables that leave all their sums in the data as they are: tokens and positions that
/// never meet the others are shifted against each other, and the types that they come with. A shift of whole
/// tables, and rows that are not used, are not among them.
struct AddedTables {
  std::vector<WeightSlice> tables;
  std::vector<Index> first;  ///< row of the kernel of each
  Dense kernel;              ///< rows of all tables x count, orthonormal columns: dTable = kernel X
  bool is_left_out = false;  ///< too many numbers: no column
};

/// Of each sum of tables that has such changes, while nothing moves but the tables that `moves` tells.
std::vector<AddedTables> added_tables(const Visibility& seen,
                                      const std::function<bool(const WeightSlice&)>& moves);

}  // namespace basin
