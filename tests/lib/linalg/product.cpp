#include "basin/linalg/product.h"

#include <catch2/catch.hpp>

#include "basin/linalg/random.h"
#include "basin/linalg/simd.h"

using namespace basin;

namespace {

template <class S>
Matrix<S> random_matrix(Index rows, Index cols, std::uint64_t seed) {
  Matrix<double> m(rows, cols);
  Random(seed, "product test").fill_normal(m);
  return m.template cast<S>();
}

// Below, at and above the blocks of the result (4, 8, 16 rows; 1 to 3 packs of 4, 8 or 16 columns) and of the
// inner sum (128).
const std::vector<std::array<Index, 3>> kShapes = {
    {1, 1, 1},   {7, 8, 3},    {8, 9, 32},   {9, 7, 33},   {15, 16, 17},   {16, 24, 8},
    {17, 32, 1}, {63, 33, 64}, {64, 48, 65}, {65, 17, 63}, {129, 40, 127}, {3, 100, 129},
};

}  // namespace

TEMPLATE_TEST_CASE("sums of products of every shape", "", double, float) {
  using S = TestType;
  for (const auto& [rows, cols, inner] : kShapes) {
    CAPTURE(rows, cols, inner);
    const Matrix<S> A = random_matrix<S>(rows, inner, 1), B = random_matrix<S>(inner, cols, 2);
    const Matrix<S> C = random_matrix<S>(2 * inner, rows, 3), D = random_matrix<S>(2 * inner, cols, 4);
    Matrix<S> out = random_matrix<S>(rows, cols, 5);
    const Matrix<S> before = out;
    const Matrix<double> AB = A.template cast<double>() * B.template cast<double>();
    const Matrix<double> CD = C.template cast<double>().transpose() * D.template cast<double>();
    // the rounding of a sum of 3 inner + 1 terms of size 1 or so
    const double tolerance = 10 * std::numeric_limits<S>::epsilon() * static_cast<double>(inner + 1);
    const auto error = [&](const Matrix<double>& expected) {
      return (out.template cast<double>() - expected).cwiseAbs().maxCoeff();
    };

    sum_of_products<S>({{tile(A), tile(B)}}, tile(out));
    CHECK(error(AB) <= tolerance);
    sum_of_products<S>({{tile(A), tile(B)}, {tile(C).transpose(), tile(D)}}, tile(out));
    CHECK(error(AB + CD) <= tolerance);
    sum_of_products<S>({{Tile<const S>{}, tile(B)}, {tile(C).transpose(), tile(D)}}, tile(out));
    CHECK(error(CD) <= tolerance);
    out = before;
    sum_of_products<S>({{tile(A), tile(B)}}, tile(out), true);
    CHECK(error(before.template cast<double>() + AB) <= tolerance);
    sum_of_products<S>({{Tile<const S>{}, tile(B)}}, tile(out));
    CHECK(out.isZero(0));
  }
}

TEST_CASE("an entry of a product has the same bits whatever stands around it") {
  const Matrix<double> A = random_matrix<double>(37, 150, 1), B = random_matrix<double>(150, 45, 2);
  Matrix<double> whole(37, 45), part(37, 45);
  sum_of_products<double>({{tile(A), tile(B)}}, tile(whole));
  for (Index i = 0; i < 37; i += 5)
    for (Index j = 0; j < 45; j += 11) {
      const Index rows = std::min<Index>(5, 37 - i), cols = std::min<Index>(11, 45 - j);
      sum_of_products<double>({{tile(A).middle_rows(i, rows), tile(B).middle_cols(j, cols)}},
                              tile(part).middle_rows(i, rows).middle_cols(j, cols));
    }
  CHECK(part == whole);
}

TEMPLATE_TEST_CASE("large products have the bits of a sum step by step, wherever their parts end", "", double,
                   float) {
  using S = TestType;
  const auto step = [](S a, S b, S c) {
    return multiply_add<S>(Pack<S>{} + a, Pack<S>{} + b, Pack<S>{} + c)[0];
  };
  // below, at and above the rows and steps of a part (256; 128 or 192), blocks and packs of the result, and
  // the rows and the size of a factor from which on panels are copied (32; 32 KB)
  for (const auto& [rows, cols, inner] : std::vector<std::array<Index, 3>>{{31, 90, 400},
                                                                           {32, 90, 400},
                                                                           {33, 1, 193},
                                                                           {256, 48, 192},
                                                                           {257, 53, 193},
                                                                           {255, 23, 385},
                                                                           {520, 13, 129},
                                                                           {37, 263, 64},
                                                                           {64, 300, 1}}) {
    CAPTURE(rows, cols, inner);
    // in rows and in columns, each further apart than it is wide
    const Matrix<S> A = random_matrix<S>(rows, inner + 600, 1), At = random_matrix<S>(inner, rows + 600, 2);
    const Matrix<S> B = random_matrix<S>(inner, cols + 600, 3), Bt = random_matrix<S>(cols, inner + 600, 4);
    const Matrix<S> before = random_matrix<S>(rows, cols, 5);
    for (const bool add : {false, true}) {
      Matrix<S> out = before, transposed = before, one = add ? before : Matrix<S>::Zero(rows, cols),
                two = one;
      sum_of_products<S>({{tile(A).middle_cols(0, inner), tile(B).middle_cols(0, cols)},
                          {tile(At).middle_cols(0, rows).transpose(), tile(B).middle_cols(7, cols)}},
                         tile(out), add);
      times_transpose<S>(tile(A).middle_cols(3, inner), tile(Bt).middle_cols(0, inner), tile(transposed),
                         add);
      for (Index i = rows - 1; i >= 0; i -= 7)  // some of them, at every place in a block
        for (Index j = cols - 1; j >= 0; j -= 5) {
          for (Index l = 0; l < inner; ++l) one(i, j) = step(A(i, l), B(l, j), one(i, j));
          for (Index l = 0; l < inner; ++l) one(i, j) = step(At(l, i), B(l, j + 7), one(i, j));
          for (Index l = 0; l < inner; ++l) two(i, j) = step(A(i, l + 3), Bt(j, l), two(i, j));
          CHECK(out(i, j) == one(i, j));
          CHECK(transposed(i, j) == two(i, j));
        }
    }
  }
}

TEMPLATE_TEST_CASE("transposes", "", double, float) {
  using S = TestType;
  for (const auto& [rows, cols, extra] : kShapes) {
    CAPTURE(rows, cols, extra);
    const Matrix<S> in = random_matrix<S>(rows, cols, 1);
    Matrix<S> out = Matrix<S>::Ones(cols, rows + extra);
    transpose<S>(tile(in), tile(out));
    CHECK(out.leftCols(rows) == in.transpose());
    CHECK(out.rightCols(extra).isZero(0));
  }
}

TEMPLATE_TEST_CASE("the exponential of packs", "", double, float) {
  using S = TestType;
  const S smallest = sizeof(S) == 8 ? S(-708) : S(-87);
  double worst = 0;
  Random random(1, "exponential");
  for (int i = 0; i < 20000; ++i) {
    Pack<S> x{};
    for (Index l = 0; l < kLanes<S>; ++l)
      x[l] = static_cast<S>(random.uniform() * smallest * (l % 2 == 0 ? 1 : 1e-3));
    const Pack<S> e = exp_of_negative<S>(x);
    for (Index l = 0; l < kLanes<S>; ++l) {
      const double expected = std::exp(static_cast<double>(x[l]));
      worst = std::max(worst, std::abs(static_cast<double>(e[l]) - expected) / expected);
    }
  }
  CHECK(worst <= 2 * std::numeric_limits<S>::epsilon());

  const S infinity = std::numeric_limits<S>::infinity(), nan = std::numeric_limits<S>::quiet_NaN();
  CHECK(exp_of_negative<S>(Pack<S>{})[0] == 1);
  CHECK(exp_of_negative<S>(Pack<S>{} - infinity)[0] == 0);
  CHECK(exp_of_negative<S>(Pack<S>{} + 2 * smallest)[0] == 0);
  CHECK(exp_of_negative<S>(Pack<S>{} - std::numeric_limits<S>::max())[0] == 0);
  CHECK(std::isnan(exp_of_negative<S>(Pack<S>{} + nan)[0]));
}
