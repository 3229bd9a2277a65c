#include "basin/network/residual.h"

#include "basin/network/activation.h"
#include "basin/network/linear.h"
#include "basin/network/sequential.h"
#include "support/check_layer.h"
#include "support/check_precision.h"

using namespace basin;
using namespace basin::test;

namespace {

template <class S>
std::unique_ptr<const Layer<S>> inner() {
  typename LayerList<S>::Layers layers;
  layers.push_back(std::make_unique<Linear<S>>(Shape{3, 4}, 6, "W"));
  layers.push_back(std::make_unique<Activation<S>>(Shape{3, 6}, ActivationFunction::gelu));
  layers.push_back(std::make_unique<Linear<S>>(Shape{3, 6}, 4, "W"));
  return std::make_unique<Sequential<S>>(std::move(layers), std::vector<std::string>{"in", "act", "out"});
}

}  // namespace

TEST_CASE("residual connections obey the four rules, whatever is frozen") {
  const Residual<double> layer(inner<double>());
  for (const bool moves : {true, false}) {
    check_layer(layer, 2, moves, {});
    check_layer(layer, 2, moves, {"in.W"});
    check_layer(layer, 2, moves, {"out.W"});
  }
  check_precision(layer, Residual<long double>(inner<long double>()), 2);
}

TEST_CASE("a residual connection keeps the shape") {
  CHECK_THROWS_WITH(Residual<double>(std::make_unique<Linear<double>>(Shape{3, 4}, 5, "W")),
                    "residual: its layers take (tokens, width) = (3, 4) and give (3, 5); expected the same, "
                    "as both are added");
}
