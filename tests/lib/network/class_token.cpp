#include "basin/network/class_token.h"

#include "support/check_layer.h"

using namespace basin;
using namespace basin::test;

TEST_CASE("a class token obeys the four rules, stands first and is real") {
  const ClassToken<double> layer({2, 3});
  check_layer(layer, 3, true, {});
  check_layer(layer, 3, false, {});
  check_layer(layer, 3, true, {"token"});
  const Vector<double> token{{7, 8, 9}}, x = Vector<double>::LinSpaced(12, 0, 11);
  const ParameterLayout layout(layer.blocks(), {"token"});
  Saved<double> saved;
  Batch<double> y;
  layer.value({token.data(), 1, 3, layout.weight_slots()}, {x.data(), 1, 4, 3}, saved, y);
  CHECK(y[0].row(0) == token.transpose());
  CHECK(y[0].row(3) == token.transpose());
  CHECK(y[0].row(2) == Matrix<double>{{3, 4, 5}}.row(0));
  CHECK(y[0].row(4) == Matrix<double>{{6, 7, 8}}.row(0));
  Mask mask = {0, 1, 1, 0};
  layer.mask(mask);
  CHECK(mask == Mask{1, 0, 1, 1, 1, 0});
  Mask none;
  layer.mask(none);
  CHECK(none.empty());
}
