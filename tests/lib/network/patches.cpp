#include "basin/network/patches.h"

#include "support/check_layer.h"

using namespace basin;
using namespace basin::test;

TEST_CASE("patches obey the four rules, and are ordered as a convolution's weights are") {
  const Patches<double> layer({2 * 4, 6}, 2, 2);  // 2 channels of 4 x 6: 2 x 3 patches
  CHECK(layer.output() == Shape{6, 8});
  check_layer(layer, 3, true, {});
  Matrix<double> x(8, 6);
  for (Index i = 0; i < x.size(); ++i) x.data()[i] = static_cast<double>(i);
  Saved<double> saved;
  Batch<double> y;
  layer.value({nullptr, 1, 0, {}}, {x.data(), 1, 8, 6}, saved, y);
  const auto pixel = [&](Index channel, Index row, Index col) { return x(channel * 4 + row, col); };
  for (Index p = 0; p < 6; ++p)
    for (Index c = 0; c < 2; ++c)
      for (Index i = 0; i < 2; ++i)
        for (Index j = 0; j < 2; ++j)
          CHECK(y[0](p, (c * 2 + i) * 2 + j) == pixel(c, p / 3 * 2 + i, p % 3 * 2 + j));
  CHECK_THROWS_WITH(Patches<double>({8, 6}, 2, 3),
                    "patches: size = 3 of images of 2 channels, 4 x 6; expected a size that divides both");
}
