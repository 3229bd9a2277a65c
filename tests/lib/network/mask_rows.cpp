#include "basin/network/mask_rows.h"

#include "support/check_layer.h"

using namespace basin;
using namespace basin::test;

TEST_CASE("masked rows become 0, by the four rules") {
  const Mask mask = {1, 0, 1, 0, 0, 1};
  const MaskRows<double> layer({3, 2});
  check_layer(layer, 2, true, {}, 1, {.ids = {}, .mask = mask});
  check_layer(layer, 2, true, {});
  const Matrix<double> x = Matrix<double>::Ones(6, 2);
  Saved<double> saved;
  saved.context.mask = mask;
  Batch<double> y;
  layer.value({nullptr, 1, 0, {}}, {x.data(), 1, 6, 2}, saved, y);
  CHECK(y[0].col(0) == Vector<double>{{1, 0, 1, 0, 0, 1}});
}
