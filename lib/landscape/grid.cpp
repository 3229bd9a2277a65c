#include "basin/landscape/grid.h"

#include <algorithm>

namespace basin {

double Axis::at(Index i) const {
  if (i == 0) return min;
  if (i == count - 1) return max;
  if (2 * i == count - 1) return (min + max) / 2;  // a contracted product would miss 0
  return (min * static_cast<double>(count - 1 - i) + max * static_cast<double>(i)) /
         static_cast<double>(count - 1);
}

Vector<double> Axis::values() const {
  Vector<double> all(count);
  for (Index i = 0; i < count; ++i) all[i] = at(i);
  return all;
}

std::vector<Piece> pieces_of(const Grid& grid) {
  const Index in_row = (grid.x.count + kLongestPiece - 1) / kLongestPiece;
  const Index length = (grid.x.count + in_row - 1) / in_row;
  std::vector<Piece> pieces;
  for (Index row = 0; row < grid.y.count; ++row)
    for (Index first = 0; first < grid.x.count; first += length)
      pieces.push_back({row, first, std::min(length, grid.x.count - first)});
  return pieces;
}

}  // namespace basin
