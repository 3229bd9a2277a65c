#include "basin/network/rows.h"

#include <catch2/catch.hpp>

#include "basin/linalg/random.h"

using namespace basin;

TEST_CASE("means have the same bits wherever a row stands, and are right") {
  Random random(1, "rows");
  for (const Index size : {1, 2, 7, 8, 9, 31, 64}) {
    Matrix<double> x(1, size);
    random.fill_normal(x);
    const double expected = row_mean(x.row(0));
    long double sum = 0;
    for (Index i = 0; i < size; ++i) sum += x(0, i);
    CHECK(expected == Approx(static_cast<double>(sum / size)).epsilon(1e-14).margin(1e-16));
    for (Index offset = 0; offset < 5; ++offset) {
      Vector<double> memory(size + 8);
      Eigen::Map<Matrix<double>> there(memory.data() + offset, 1, size);
      there = x;
      CHECK(row_mean(there.row(0)) == expected);
      CHECK(row_mean(there.row(0), x.row(0)) == row_mean(x.row(0), x.row(0)));
    }
  }
}
