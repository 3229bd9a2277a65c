#include "landscape/slice.h"

#include <catch2/catch.hpp>

#include "linalg/errors.h"
#include "support/cases.h"

using namespace basin;
using namespace basin::test;

TEST_CASE("a slice holds the losses of the plane, row = y, column = x") {
  Case c = {"slice", 70, 4, 5, 2, 3, 2};
  c.trainable = {"W_Q", "W_V"};
  const Instance<double> instance = make_instance(c);
  const Index P = instance.model->parameters().theta_size();
  const Vector<double> u = random_vectors(P, 1, 1), v = random_vectors(P, 1, 2);
  const Grid grid{{-1, 2, 4}, {-0.3, 1, 3}};
  PlaneEvaluator plane(c.spec(), instance.model, instance.weights, instance.data, u, v, grid,
                       {.way = PlaneWay::plain});
  const Matrix<double> losses = loss_on_plane(plane, grid);
  REQUIRE(losses.rows() == 3);
  REQUIRE(losses.cols() == 4);
  for (Index row = 0; row < 3; ++row)
    for (Index column = 0; column < 4; ++column) {
      const Vector<double> theta = instance.theta() + grid.x.at(column) * u + grid.y.at(row) * v;
      CHECK(losses(row, column) == instance.at(theta).linearize().loss());  // the same bits
    }
}

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
