#include "basin/network/pool.h"

#include "support/check_layer.h"
#include "support/check_precision.h"

using namespace basin;
using namespace basin::test;

namespace {

const Mask kMask = {0, 1, 1, 0, /**/ 1, 0, 0, 1};

Matrix<double> pooled(Pooling pooling, bool real, const Mask& mask) {
  Matrix<double> x(8, 1);
  x << 1, 2, 4, 8, 16, 32, 64, 128;
  Saved<double> saved;
  saved.context.mask = mask;
  Batch<double> y;
  Pool<double>({4, 1}, pooling, real).value({nullptr, 1, 0, {}}, {x.data(), 1, 8, 1}, saved, y);
  return y[0];
}

}  // namespace

TEST_CASE("pools obey the four rules, with and without masks") {
  for (const Pooling pooling : {Pooling::mean, Pooling::first, Pooling::last})
    for (const bool real : {true, false}) {
      const Pool<double> layer({4, 3}, pooling, real);
      check_layer(layer, 2, true, {});
      check_layer(layer, 2, true, {}, 1, {.ids = {}, .mask = kMask});
    }
  check_precision(Pool<double>({3, 2}, Pooling::mean, true), Pool<long double>({3, 2}, Pooling::mean, true),
                  2, {}, 1e-15);
}

TEST_CASE("pools take the tokens they say") {
  CHECK(pooled(Pooling::mean, true, kMask) == Matrix<double>{{3.0}, {72.0}});
  CHECK(pooled(Pooling::mean, false, kMask) == Matrix<double>{{3.75}, {60.0}});
  CHECK(pooled(Pooling::first, true, kMask) == Matrix<double>{{2.0}, {16.0}});
  CHECK(pooled(Pooling::first, false, kMask) == Matrix<double>{{1.0}, {16.0}});
  CHECK(pooled(Pooling::last, true, kMask) == Matrix<double>{{4.0}, {128.0}});
  CHECK(pooled(Pooling::last, false, kMask) == Matrix<double>{{8.0}, {128.0}});
  CHECK(pooled(Pooling::mean, true, {}) == Matrix<double>{{3.75}, {60.0}});
  CHECK(pooled(Pooling::mean, true, {0, 0, 0, 0, 1, 0, 0, 0}) == Matrix<double>{{0.0}, {16.0}});
  Mask mask = kMask;
  Pool<double>({4, 1}, Pooling::mean, true).mask(mask);
  CHECK(mask.empty());
  CHECK_THROWS_WITH(pooling_from_name("max"), "unknown pooling 'max'; expected mean, first or last");
}
