#include "basin/stationary/saturation.h"

#include <catch2/catch.hpp>
#include <cmath>

using namespace basin;

TEST_CASE("uniform rows have entropy log n, one-hot rows 0, and scale does not matter") {
  SaturationOfRows uniform, one_hot;
  uniform.add(Matrix<double>::Constant(5, 4, 0.25));
  CHECK(uniform.result().mean_entropy == Approx(std::log(4.0)));
  CHECK(uniform.result().range == 0);
  CHECK(uniform.result().smallest_sum == 1);
  one_hot.add(Matrix<double>::Identity(4, 4));
  CHECK(one_hot.result().mean_entropy == 0);
  CHECK(one_hot.result().largest_weight == 1);
  CHECK(std::isinf(one_hot.result().range));
}

TEST_CASE("rows of several heads are taken together; a row of zeros and a single token are harmless") {
  SaturationOfRows rows;
  Matrix<double> S(2, 2);
  S << 0.5, 0.25, 0, 0;
  rows.add(S);
  rows.add(Matrix<double>::Constant(2, 2, 3));
  const Saturation s = rows.result();
  const double entropy = std::log(3.0) - 2.0 / 3 * std::log(2.0);  // of (2/3, 1/3)
  CHECK(s.mean_entropy == Approx((entropy + 2 * std::log(2.0)) / 4));
  CHECK(s.smallest_sum == 0);
  CHECK(s.largest_sum == 6);
  CHECK(s.largest_weight == 3);

  SaturationOfRows token;
  token.add(Matrix<double>::Constant(3, 1, 1));
  CHECK(token.result().mean_entropy == 0);
  CHECK(token.result().range == 0);
}

TEST_CASE("without rows nothing is known") {
  CHECK_FALSE(SaturationOfRows().result().known());
  SaturationOfRows one_hot;
  one_hot.add(Matrix<double>::Identity(2, 2));
  CHECK(one_hot.result().known());
}

TEST_CASE("the rows with the extremes are named by head, sample and token") {
  SaturationOfRows rows;  // two heads, two samples of three tokens
  Matrix<double> first = Matrix<double>::Constant(6, 3, 0.3), second = first;
  second.row(4) << 0.9, 1e-20, 1e-3;
  first.row(2) << 1e-9, 1e-9, 1e-9;
  second.row(5) << 1e-9, 1e-9, 1e-9;  // no less than the first one
  rows.add(first);
  rows.add(second);
  const RowPlace sharp = row_place(rows.result().sharpest, 6, 3),
                 weak = row_place(rows.result().weakest, 6, 3);
  CHECK((sharp.head == 1 && sharp.sample == 1 && sharp.token == 1));
  CHECK((weak.head == 0 && weak.sample == 0 && weak.token == 2));
}
