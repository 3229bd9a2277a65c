/// The path of a training run: from its file, and on the plane of a slice.
#pragma once

#include "basin/landscape/trajectory.h"
#include "common/command/setup.h"

namespace basin::tools {

/// The path of a training run (lib/hdf5/FORMAT.md).
struct Trajectory {
  Vectors<double> weights;  ///< all blocks, a point a column
  Vector<double> step;      ///< of each
};

/// A direction over the trained blocks as one over all: zero in the others.
Vector<double> over_all_blocks(const Setup& setup, const Vector<double>& direction);

/// /trajectory of a file. Throws InputError, naming the file, also for a trajectory of another model, kernel
/// or problem.
Trajectory read_trajectory(const hdf5::Reader& file, const Setup& setup);

/// The path beside a plane, with the losses at its own points.
struct PathOnPlane {
  Vector<double> step, loss;
  ProjectedPath projected;
};

/// u, v: over the trained blocks; v of zeros stands for a line. memory: bytes for weights of points at once.
PathOnPlane path_on_plane(const Setup& setup, const Vector<double>& u, const Vector<double>& v,
                          const Trajectory& trajectory, std::size_t memory);

/// /entry/trajectory, and what the 2020 scripts look for at the root.
void write_path(hdf5::Writer& file, const PathOnPlane& path);
/// The same from another result.
void copy_path(hdf5::Writer& file, const hdf5::Reader& from);

}  // namespace basin::tools
