#include "basin/model/labels.h"

#include <catch2/catch.hpp>
#include <cmath>
#include <limits>

using namespace basin;

namespace {

Data<double> targets(Matrix<double> Y) {
  return {1, {}, std::move(Y)};
}

}  // namespace

TEST_CASE("what counts as labels") {
  CHECK(labelled(targets(Matrix<double>{{1}, {-1}, {1}})));
  CHECK_FALSE(labelled(targets(Matrix<double>{{1}, {0}})));
  CHECK_FALSE(labelled(targets(Matrix<double>{{1}, {1.5}})));
  CHECK(labelled(targets(Matrix<double>{{0, 1, 0}, {1, 0, 0}})));
  CHECK_FALSE(labelled(targets(Matrix<double>{{0, 1, 1}, {1, 0, 0}})));
  CHECK_FALSE(labelled(targets(Matrix<double>{{0, 0}, {1, 0}})));
  CHECK_FALSE(labelled(targets(Matrix<double>{{2, -1}, {1, 0}})));
}

TEST_CASE("accuracy counts rows on the right side, and ties as wrong") {
  const Matrix<double> Y{{1}, {-1}, {1}, {-1}};
  CHECK(accuracy(Matrix<double>{{0.1}, {-3}, {-2}, {0}}, targets(Y)) == 50);
  CHECK(accuracy(Y, targets(Y)) == 100);
  const Matrix<double> classes{{0, 1, 0}, {1, 0, 0}, {0, 0, 1}, {1, 0, 0}};
  CHECK(accuracy(Matrix<double>{{-1, 5, 4}, {2, 2, 1}, {0, 0, 0.1}, {-3, -2, -1}}, targets(classes)) == 50);
  CHECK(std::isnan(
      accuracy(Matrix<double>{{std::numeric_limits<double>::infinity()}, {1}, {1}, {1}}, targets(Y))));
}

TEST_CASE("labels are classes, of the rows that count") {
  Data<double> data = {4, {}, {}};
  data.labels = {1, 0, -100, 2};
  CHECK(labelled(data));
  const Matrix<double> F{{-1, 5, 4}, {2, 2, 1}, {9, 9, 9}, {-3, -2, -1}};
  CHECK(accuracy(F, data, {1, 1, 0, 1}) == Approx(200 / 3.0));
  CHECK(accuracy(F, data, {0, 1, 0, 0}) == 0);
}
