#include "basin/problem/pathfinder.h"

#include <catch2/catch.hpp>
#include <queue>

#include "basin/linalg/errors.h"

using namespace basin;

namespace {

/// The number of pieces, connected by sides or corners, of the pixels that are at least so grey.
Index pieces(const Matrix<double>& grey, double least) {
  Eigen::Matrix<bool, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor> left = grey.array() >= least;
  Index count = 0;
  for (Index i = 0; i < grey.rows(); ++i)
    for (Index j = 0; j < grey.cols(); ++j) {
      if (!left(i, j)) continue;
      ++count;
      std::queue<std::pair<Index, Index>> open;
      open.emplace(i, j);
      left(i, j) = false;
      for (; !open.empty(); open.pop())
        for (Index a = -1; a <= 1; ++a)
          for (Index b = -1; b <= 1; ++b) {
            const auto [y, x] = std::pair(open.front().first + a, open.front().second + b);
            if (y < 0 || x < 0 || y >= grey.rows() || x >= grey.cols() || !left(y, x)) continue;
            left(y, x) = false;
            open.emplace(y, x);
          }
    }
  return count;
}

}  // namespace

TEST_CASE("pathfinder: without gaps, each curve is one piece") {
  PathfinderOptions options;
  options.size = 64;
  options.dot = 2.5;
  options.dashes = 4;
  options.gap = 0;
  options.clearance = 7;  // so that dots do not touch other curves
  for (int i = 0; i < 40; ++i) {
    const PathfinderPicture picture = pathfinder_picture(options, i % 2 == 1, 1, std::to_string(i));
    CHECK(picture.connected == (i % 2 == 1));
    CHECK(picture.grey.minCoeff() == 0);
    CHECK(picture.grey.maxCoeff() == 1);
    CHECK(pieces(picture.grey, 0.2) == options.paths);
    // The dots alone survive erosion to full blocks of 2 x 2: two of them, on one piece or on two.
    Matrix<double> blocks = Matrix<double>::Zero(64, 64);
    for (Index y = 0; y + 1 < 64; ++y)
      for (Index x = 0; x + 1 < 64; ++x)
        blocks(y, x) = picture.grey.block(y, x, 2, 2).minCoeff() == 1 ? 1 : 0;
    CHECK(pieces(blocks, 1) == 2);
  }
}

TEST_CASE("pathfinder: whether the dots are connected is what the label says") {
  PathfinderOptions options;
  options.size = 64;
  options.dot = 2.5;
  options.dashes = 4;
  options.gap = 0;
  options.clearance = 7;  // so that dots do not touch other curves
  options.paths = 2;
  for (int i = 0; i < 40; ++i) {
    const bool connected = i % 2 == 1;
    const PathfinderPicture picture = pathfinder_picture(options, connected, 2, std::to_string(i));
    // What is left of the pieces when those with a dot are counted: a dot has more than 8 full pixels.
    Matrix<double> without = picture.grey;
    Index with_dot = 0;
    for (Index y = 0; y < 64; ++y)
      for (Index x = 0; x < 64; ++x) {
        if (without(y, x) < 0.2) continue;
        std::queue<std::pair<Index, Index>> open;
        open.emplace(y, x);
        double full_blocks = 0;
        without(y, x) = 0;
        for (; !open.empty(); open.pop()) {
          const auto [r, c] = open.front();
          if (r + 1 < 64 && c + 1 < 64 && picture.grey.block(r, c, 2, 2).minCoeff() == 1) ++full_blocks;
          for (Index a = -1; a <= 1; ++a)
            for (Index b = -1; b <= 1; ++b)
              if (r + a >= 0 && c + b >= 0 && r + a < 64 && c + b < 64 && without(r + a, c + b) >= 0.2) {
                without(r + a, c + b) = 0;
                open.emplace(r + a, c + b);
              }
        }
        with_dot += full_blocks > 0 ? 1 : 0;
      }
    CHECK(with_dot == (connected ? 1 : 2));
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
