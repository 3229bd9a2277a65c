#include "basin/network/class_token.h"

#include "support/check_layer.h"

using namespace basin;
using namespace basin::test;

TEST_CASE("a class token obeys the four rules, stands first and is real") {
  const ClassToken<double> layer({2, 3});
  check_layer(layer, 3, true, {});
  check_layer(layer, 3, false, {});
  check_layer(layer, 3, true, {"token"});
  Mask mask = {0, 1, 1, 0};
  layer.mask(mask);
  CHECK(mask == Mask{1, 0, 1, 1, 1, 0});
  Mask none;
  layer.mask(none);
  CHECK(none.empty());
}
