#include "basin/network/transposed_linear.h"

#include "support/check_layer.h"
#include "support/check_precision.h"

using namespace basin;
using namespace basin::test;

TEST_CASE("a linear layer with transposed weights obeys the four rules") {
  for (const bool bias : {true, false})
    for (const Shape shape : {Shape{3, 4}, Shape{1, 1}, Shape{2, 17}}) {
      const TransposedLinear<double> layer(shape, 5, "", bias);
      for (const bool moves : {true, false}) {
        check_layer(layer, 2, moves, {});
        if (bias) check_layer(layer, 2, moves, {"W"});
      }
      if (bias) check_layer(layer, 2, true, {"b"});
      check_precision(layer, TransposedLinear<long double>(shape, 5, "", bias), 2);
    }
}
