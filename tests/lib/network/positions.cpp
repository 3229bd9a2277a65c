#include "basin/network/positions.h"

#include "support/check_layer.h"
#include "support/check_precision.h"

using namespace basin;
using namespace basin::test;

TEST_CASE("positions obey the four rules, also with more rows than tokens") {
  for (const Index rows : {3, 7}) {
    const Positions<double> layer({3, 4}, rows);
    check_layer(layer, 2, true, {});
    check_layer(layer, 2, false, {});
    check_layer(layer, 2, true, {"Pos"});
  }
  check_layer(SinusoidalPositions<double>({3, 5}), 2, true, {});
  CHECK_THROWS_WITH(Positions<double>({3, 4}, 2), "positions: rows = 2; expected at least the 3 tokens");
}

TEST_CASE("sinusoidal positions are those of the formula") {
  const Matrix<double> x = Matrix<double>::Zero(6, 4);
  Saved<double> saved;
  Batch<double> y;
  SinusoidalPositions<double>({3, 4}).value({nullptr, 1, 0, {}}, {x.data(), 1, 6, 4}, saved, y);
  CHECK(y[0].row(3) == Matrix<double>{{0, 1, 0, 1}}.row(0));
  CHECK(y[0](5, 0) == Approx(std::sin(2.0)).epsilon(1e-15));
  CHECK(y[0](5, 1) == Approx(std::cos(2.0)).epsilon(1e-15));
  CHECK(y[0](5, 2) == Approx(std::sin(2.0 / 100)).epsilon(1e-15));
}
