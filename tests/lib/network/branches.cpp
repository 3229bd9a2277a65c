#include "basin/network/branches.h"

#include "basin/network/activation.h"
#include "basin/network/linear.h"
#include "basin/network/residual.h"
#include "basin/network/sequential.h"
#include "support/check_layer.h"
#include "support/check_precision.h"

using namespace basin;
using namespace basin::test;

namespace {

template <class S>
std::unique_ptr<const Layer<S>> linear(Shape in, Index outputs) {
  return std::make_unique<Linear<S>>(in, outputs, "W");
}

/// silu(x W_1) o (x W_2), or the sum of three.
template <class S>
Branches<S> made(Joining joining) {
  const Shape in{3, 4};
  typename LayerList<S>::Layers branches, gate;
  gate.push_back(linear<S>(in, 5));
  gate.push_back(std::make_unique<Activation<S>>(Shape{3, 5}, ActivationFunction::silu));
  branches.push_back(std::make_unique<Sequential<S>>(std::move(gate), std::vector<std::string>{"gate", ""}));
  branches.push_back(linear<S>(in, 5));
  std::vector<std::string> names = {"", "up"};
  if (joining == Joining::sum) branches.push_back(linear<S>(in, 5)), names.emplace_back("third");
  return Branches<S>(joining, std::move(branches), names);
}

}  // namespace

TEST_CASE("sums and products of branches obey the four rules, whatever is frozen") {
  for (const Joining joining : {Joining::sum, Joining::product}) {
    const Branches<double> layer = made<double>(joining);
    CHECK(layer.blocks()[0].name == "gate.W");
    CHECK(layer.blocks()[1].name == "up.W");
    for (const bool moves : {true, false}) {
      check_layer(layer, 2, moves, {});
      check_layer(layer, 2, moves, {"gate.W"});
      check_layer(layer, 2, moves, {"up.W"});
    }
    check_precision(layer, made<long double>(joining), 2);
  }
}

TEST_CASE("branches that do not fit are refused") {
  LayerList<double>::Layers one, three, different;
  one.push_back(linear<double>({2, 3}, 4));
  for (int b = 0; b < 3; ++b) three.push_back(linear<double>({2, 3}, 4));
  different.push_back(linear<double>({2, 3}, 4));
  different.push_back(linear<double>({2, 3}, 5));
  CHECK_THROWS_WITH(Branches<double>(Joining::sum, std::move(one), {"a"}),
                    "sum: found 1 branches; expected 2 or more");
  CHECK_THROWS_WITH(Branches<double>(Joining::product, std::move(three), {"a", "b", "c"}),
                    "product: found 3 branches; expected 2");
  CHECK_THROWS_WITH(Branches<double>(Joining::sum, std::move(different), {"a", "b"}),
                    "sum: its branches give 2 tokens of width 4 and 2 of 5; expected the same");
}
