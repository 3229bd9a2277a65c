#include "basin/problem/pathfinder.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <functional>
#include <vector>

#include "basin/linalg/errors.h"

using namespace basin;

namespace {

using Piece = std::vector<std::pair<Index, Index>>;

/// The pieces, connected by sides or corners, of the pixels that are at least so grey.
std::vector<Piece> pieces(const Matrix<double>& grey, double least) {
  Matrix<double> left = grey;
  std::vector<Piece> all;
  for (Index i = 0; i < grey.rows(); ++i)
    for (Index j = 0; j < grey.cols(); ++j) {
      if (left(i, j) < least) continue;
      Piece piece = {{i, j}};
      left(i, j) = 0;
      for (std::size_t next = 0; next < piece.size(); ++next)
        for (Index a = -1; a <= 1; ++a)
          for (Index b = -1; b <= 1; ++b) {
            const Index y = piece[next].first + a, x = piece[next].second + b;
            if (y < 0 || x < 0 || y >= grey.rows() || x >= grey.cols() || left(y, x) < least) continue;
            left(y, x) = 0;
            piece.emplace_back(y, x);
          }
      all.push_back(std::move(piece));
    }
  return all;
}

/// 1 where 2 x 2 pixels are full: in dots, and not in dashes.
Matrix<double> full_blocks(const Matrix<double>& grey) {
  Matrix<double> full = Matrix<double>::Zero(grey.rows(), grey.cols());
  for (Index y = 0; y + 1 < grey.rows(); ++y)
    for (Index x = 0; x + 1 < grey.cols(); ++x) full(y, x) = grey.block(y, x, 2, 2).minCoeff() == 1 ? 1 : 0;
  return full;
}

}  // namespace

TEST_CASE(
    "pathfinder: without gaps each curve is one piece, and the dots are on one or two as the label says") {
  PathfinderOptions options;
  options.size = 64;
  options.dot = 2.5;
  options.dashes = 4;
  options.gap = 0;
  options.clearance = 7;  // so that dots do not touch other curves
  for (int i = 0; i < 60; ++i) {
    const bool connected = i % 2 == 1;
    options.paths = 2 + i % 3 / 2;
    const PathfinderPicture picture = pathfinder_picture(options, connected, 1, std::to_string(i));
    CHECK(picture.connected == connected);
    CHECK(picture.grey.minCoeff() == 0);
    CHECK(picture.grey.maxCoeff() == 1);
    const Matrix<double> full = full_blocks(picture.grey);
    CHECK(pieces(full, 1).size() == 2);
    const std::vector<Piece> curves = pieces(picture.grey, 0.2);
    CHECK(static_cast<Index>(curves.size()) == options.paths);
    const auto with_dots = std::count_if(curves.begin(), curves.end(), [&](const Piece& curve) {
      return std::any_of(curve.begin(), curve.end(),
                         [&](const auto& pixel) { return full(pixel.first, pixel.second) == 1; });
    });
    CHECK(with_dots == (connected ? 1 : 2));
  }
}

TEST_CASE("pathfinder: a picture depends on seed and name alone; what cannot be is refused") {
  const PathfinderOptions options;
  const Matrix<double> first = pathfinder_picture(options, true, 3, "train 5").grey;
  CHECK(first == pathfinder_picture(options, true, 3, "train 5").grey);
  CHECK(first != pathfinder_picture(options, true, 3, "train 6").grey);
  CHECK(first != pathfinder_picture(options, true, 4, "train 5").grey);
  for (const auto& change : std::vector<std::function<void(PathfinderOptions&)>>{
           [](auto& o) { o.size = 15; }, [](auto& o) { o.paths = 1; }, [](auto& o) { o.dashes = 0; },
           [](auto& o) { o.dash = -1; }, [](auto& o) { o.turn = std::nan(""); },
           [](auto& o) { o.dot = 1e9; }}) {
    PathfinderOptions wrong;
    change(wrong);
    CHECK_THROWS_AS(pathfinder_picture(wrong, true, 0, "x"), InputError);
  }
  PathfinderOptions full;
  full.paths = 30;
  CHECK_THROWS_WITH(pathfinder_picture(full, true, 0, "x"),
                    Catch::Contains("30 paths of 6 dashes find no room in 32 x 32 pixels"));
}
