#include "basin/model/labels.h"

#include <catch2/catch.hpp>
#include <cmath>
#include <limits>

using namespace basin;

TEST_CASE("what counts as labels") {
  CHECK(labelled(Matrix<double>{{1}, {-1}, {1}}));
  CHECK_FALSE(labelled(Matrix<double>{{1}, {0}}));
  CHECK_FALSE(labelled(Matrix<double>{{1}, {1.5}}));
  CHECK(labelled(Matrix<double>{{0, 1, 0}, {1, 0, 0}}));
  CHECK_FALSE(labelled(Matrix<double>{{0, 1, 1}, {1, 0, 0}}));
  CHECK_FALSE(labelled(Matrix<double>{{0, 0}, {1, 0}}));
  CHECK_FALSE(labelled(Matrix<double>{{2, -1}, {1, 0}}));
}

TEST_CASE("accuracy counts rows on the right side, and ties as wrong") {
  const Matrix<double> Y{{1}, {-1}, {1}, {-1}};
  CHECK(accuracy(Matrix<double>{{0.1}, {-3}, {-2}, {0}}, Y) == 50);
  CHECK(accuracy(Y, Y) == 100);
  const Matrix<double> classes{{0, 1, 0}, {1, 0, 0}, {0, 0, 1}, {1, 0, 0}};
  CHECK(accuracy(Matrix<double>{{-1, 5, 4}, {2, 2, 1}, {0, 0, 0.1}, {-3, -2, -1}}, classes) == 50);
  CHECK(std::isnan(accuracy(Matrix<double>{{std::numeric_limits<double>::infinity()}, {1}, {1}, {1}}, Y)));
}
