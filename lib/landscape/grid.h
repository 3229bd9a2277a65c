/// Grids of steps along two directions, and the pieces in which they are computed.
#pragma once

#include <vector>

#include "basin/linalg/types.h"

namespace basin {

/// Equally spaced steps from min to max; count 1 has min = max.
struct Axis {
  double min = 0, max = 0;
  Index count = 1;

  /// Exact at both ends and, for a symmetric range, in the middle.
  double at(Index i) const;
  double step() const { return count > 1 ? (max - min) / static_cast<double>(count - 1) : 0; }
  Vector<double> values() const;
};

/// The points theta + a u + b v for a on x and b on y; point number row * x.count + column.
struct Grid {
  Axis x, y;
  Index size() const { return x.count * y.count; }
};

/// Neighbouring points of a row, computed together: columns first, ..., first + count - 1.
struct Piece {
  Index row, first, count;
};

/// No piece is longer: rounding grows along it (MATHEMATICS.md, "Along a row").
inline constexpr Index kLongestPiece = 20;

/// All pieces of a grid, row by row, of about equal length.
std::vector<Piece> pieces_of(const Grid& grid);

}  // namespace basin
