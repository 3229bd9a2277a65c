/// How what basin-hessian finds is written to its result file (lib/hdf5/FORMAT.md).
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "basin/curvature/balanced_point.h"
#include "basin/curvature/pseudo_symmetries.h"
#include "basin/curvature/symmetries.h"
#include "basin/hdf5/result_file.h"
#include "basin/stationary/stationarity.h"
#include "common/command/tensors.h"
#include "common/spectrum/results.h"

namespace basin::tools {

/// Which matrix the numbers of a group are of, with so many directions set aside: its attributes.
void name_matrix(hdf5::Writer& file, const std::string& group, const SpectrumResults& results, Index removed);

/// Whether eigenvectors are written, and what they are made of where they are written by name, too.
struct WrittenVectors {
  bool arrays = false;
  const NamedVectors* by_tensor = nullptr;
};

/// Writes to the groups `prefix`/largest, ..., with `prefix` = "/entry" or "/entry/parts/NAME".
void write_results(hdf5::Writer& file, const std::string& prefix, const SpectrumResults& results,
                   const WrittenVectors& vectors);

/// The picture of the results that viewers open first: the name of a group.
std::string picture_of(const SpectrumResults& results);

/// /entry/symmetries: those that are set aside or counted; generic_count: how many theory says there are, if
/// it does.
void write_symmetries(hdf5::Writer& file, const Symmetries& symmetries,
                      const std::optional<Index>& generic_count);

/// /entry/symmetries/pseudo: what epsilon alone breaks.
void write_pseudo(hdf5::Writer& file, const std::vector<PseudoSymmetry>& pseudo);

/// /entry/symmetries/balanced: where what is left of symmetries is counted.
void write_balanced(hdf5::Writer& file, const BalancedPoint& balanced);

/// Where the matrices are of: which is the first, and what is known of the point.
void write_point(hdf5::Writer& file, const SpectrumResults& first, const Stationarity& point);

}  // namespace basin::tools
