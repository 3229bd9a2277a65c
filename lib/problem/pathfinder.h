/// Pictures of the Pathfinder task: do dashed curves connect two dots?
#pragma once

#include <cstdint>
#include <string>

#include "basin/linalg/types.h"

namespace basin {

/// The task of Linsley, Kim, Veerabadran, Windolf and Serre (NeurIPS 2018), as of the Long Range Arena (Tay
/// et al., ICLR 2021), drawn anew: `paths` dashed curves of the same number of dashes, which neither touch
/// each other nor themselves, and two dots. Connected: the dots are at both ends of one of the paths. Not
/// connected: each is at an end of a path of its own. So both kinds have as many paths, dashes and dots.
/// Lengths are in pixels.
struct PathfinderOptions {
  Index size = 32;       ///< the picture has size x size pixels, at least 16 x 16
  Index dashes = 6;      ///< of each path
  Index paths = 3;       ///< at least 2
  double dash = 3;       ///< length of a dash
  double gap = 2;        ///< from the end of a dash to the next one
  double turn = 0.5;     ///< a path turns by at most so much at each dash, in radians
  double width = 1;      ///< of a dash
  double dot = 1.7;      ///< radius of a dot
  double clearance = 3;  ///< between the middle lines of paths, and of parts of one that are not neighbours
};

struct PathfinderPicture {
  Matrix<double> grey;  ///< size x size, from 0 (nothing) to 1, anti-aliased
  bool connected = false;
};

/// Checks the options. Throws InputError.
void check_pathfinder(const PathfinderOptions& options);

/// A picture of that kind. The same one for the same seed and name ("train 7"), whatever other pictures are
/// drawn. Throws WorkError where so many paths find no room after many tries.
PathfinderPicture pathfinder_picture(const PathfinderOptions& options, bool connected, std::uint64_t seed,
                                     const std::string& name);

}  // namespace basin
