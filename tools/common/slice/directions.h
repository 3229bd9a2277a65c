/// From options to the directions of a slice.
#pragma once

#include <functional>
#include <string>

#include "basin/curvature/symmetries.h"
#include "basin/landscape/directions.h"
#include "common/command/setup.h"
#include "common/slice/trajectory.h"

namespace basin::tools {

/// Adds --u, --v, --to, --u-blocks, --v-blocks, --ignore, --normalise, --orthogonalise, --trajectory and
/// --lines.
void add_direction_options(Command& command);

struct Direction {
  std::string origin;  ///< "random", "Hessian eigenvector, largest 1: 12.3 +- 1e-9", ...
  std::string normalisation;
  Vector<double> vector;      ///< P; zeros for none
  double symmetry_share = 0;  ///< of |vector|^2 that lies in symmetry directions
};

struct Directions {
  Direction u;  ///< of many lines: the first
  Direction v;  ///< "none": zeros
  Index lines = 1;
  /// The direction of a random line, from 0: made again at every call, as many would take too much memory.
  std::function<Vector<double>(Index)> line;

  double cosine() const { return basin::cosine(u.vector, v.vector); }
  /// A fingerprint: slices along other directions are other slices.
  std::string checksum() const;
};

/// Throws InputError for directions that are zero or parallel, or cannot be.
Directions make_directions(const Command& command, const Setup& setup, const Trajectory* trajectory);

/// /entry/directions
void write_directions(hdf5::Writer& file, const Directions& directions);

}  // namespace basin::tools
