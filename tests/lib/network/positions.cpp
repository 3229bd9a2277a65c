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

TEST_CASE("learned positions are added token by token, sample by sample") {
  const Positions<double> layer({2, 2}, 3);
  const Vector<double> Pos{{10, 20, 30, 40, 50, 60}}, x = Vector<double>::LinSpaced(8, 0, 7);
  const ParameterLayout layout(layer.blocks(), {"Pos"});
  Saved<double> saved;
  Batch<double> y;
  layer.value({Pos.data(), 1, 6, layout.weight_slots()}, {x.data(), 1, 4, 2}, saved, y);
  CHECK(y[0] == Matrix<double>{{10, 21}, {32, 43}, {14, 25}, {36, 47}});
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
