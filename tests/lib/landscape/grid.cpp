#include "basin/landscape/grid.h"

#include <catch2/catch.hpp>

using namespace basin;

TEST_CASE("axes are exact at both ends and in the middle; pieces cover the grid in order") {
  const Axis axis{-0.3, 0.3, 51};
  CHECK(axis.at(0) == -0.3);
  CHECK(axis.at(25) == 0);
  CHECK(axis.at(50) == 0.3);
  CHECK(Axis{2, 2, 1}.at(0) == 2);
  for (const Index count : {1, 2, 20, 21, 51, 101}) {
    Index next = 0;
    for (const Piece& piece : pieces_of({{0, 1, count}, {0, 1, 3}})) {
      CHECK(piece.row * count + piece.first == next);
      CHECK(piece.count >= 1);
      CHECK(piece.count <= kLongestPiece);
      next += piece.count;
    }
    CHECK(next == 3 * count);
  }
}
