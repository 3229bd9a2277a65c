#include "basin/network/repeat.h"

#include "basin/linalg/errors.h"
#include "basin/network/architecture_json.h"
#include "basin/network/layer_types.h"
#include "basin/network/linear.h"
#include "support/check_layer.h"
#include "support/check_precision.h"

using namespace basin;
using namespace basin::test;

namespace {

/// Three blocks of attention and of two more copies inside, of 3 tokens of width 4.
template <class S>
std::unique_ptr<const Layer<S>> blocks_of_blocks() {
  const Architecture a =
      architecture_from_json(R"({"inputs": {"type": "vectors", "tokens": 3, "width": 4}, "layers": [
    {"type": "repeat", "times": 3, "layers": [
      {"type": "activation", "function": "tanh"},
      {"type": "attention", "heads": 2, "head-dim": 2, "bias": "qv", "causal": true},
      {"type": "repeat", "name": "mlp", "times": 2, "layers": [
        {"type": "linear", "name": "in", "outputs": 3, "bias": false}, {"type": "activation", "function": "tanh"},
        {"type": "linear", "name": "out", "outputs": 4}]}]}]})");
  return make_layer<S>(a.layers[0], a.input);
}

const Mask kMask = {1, 0, 1, 1, 1, 0};
const Context kKept = {.ids = {}, .mask = kMask};
const Context kAgain = {.ids = {}, .mask = kMask, .types = {}, .memory = 0};

}  // namespace

TEST_CASE("repeated layers obey the four rules, whether their states are kept or evaluated again") {
  const auto layer = blocks_of_blocks<double>();
  const std::vector<std::string> first = {"0.attention.W_Q", "0.attention.b_Q"};
  std::vector<std::string> all_but_the_last;
  for (const ParameterBlock& b : layer->blocks())
    if (b.name[0] != '2') all_but_the_last.push_back(b.name);
  for (const Context& context : {kKept, kAgain})
    for (const bool moves : {true, false}) {
      check_layer(*layer, 2, moves, {}, 1, context);
      check_layer(*layer, 2, moves, first, 2, context);
      check_layer(*layer, 2, moves, all_but_the_last, 3, context);
    }
}

TEST_CASE("copies that are evaluated again give the same bits, and less is kept") {
  const auto layer = blocks_of_blocks<double>();
  const auto kept = LayerRules::at<double>(*layer, 2, kKept, 5),
             again = LayerRules::at<double>(*layer, 2, kAgain, 5);
  REQUIRE(kept.size() == again.size());
  for (std::size_t i = 0; i < kept.size(); ++i) CHECK(kept[i] == again[i]);
}

TEST_CASE("of a deep repeat next to nothing but the inputs is kept, and kinks are counted alike") {
  const Architecture a =
      architecture_from_json(R"({"inputs": {"type": "vectors", "tokens": 3, "width": 4}, "layers": [
    {"type": "repeat", "times": 20, "layers": [
      {"type": "linear", "outputs": 50}, {"type": "activation", "function": "relu"},
      {"type": "linear", "name": "out", "outputs": 4}]}]})");
  const auto layer = make_layer<double>(a.layers[0], a.input);
  const std::vector<ParameterBlock> all = layer->blocks();
  const ParameterLayout layout(all, matching_blocks({"*"}, all));
  const Vector<double> weights = Vector<double>::Zero(layout.weight_count());
  const BlockView<const double> w(weights.data(), 1, weights.size(), layout.weight_slots());
  const Vector<double> x = random_vectors(24, 1, 2);
  const auto evaluated = [&](std::size_t memory) {
    Saved<double> value;
    Batch<double> y;
    value.context = {.ids = {}, .mask = kMask, .types = {}, .memory = memory};
    layer->value(w, {x.data(), 1, 6, 4}, value, y);
    return value;
  };
  const Saved<double> kept = evaluated(std::size_t{1} << 30U), again = evaluated(0);
  CHECK(again.bytes() < kept.bytes() / 5);
  CHECK(evaluated(kept.bytes()).bytes() == kept.bytes());
  CHECK(evaluated(kept.bytes() / 2).bytes() == again.bytes());
  CHECK(layer->kinks(kept) == 20 * 4 * 50);  // all weights are 0, and four of the six tokens real
  CHECK(layer->kinks(again) == 20 * 4 * 50);
}

TEST_CASE("a layer that changes the shape is refused") {
  typename Repeat<double>::Layers copies;
  copies.push_back(std::make_unique<Linear<double>>(Shape{3, 4}, 5, "W"));
  CHECK_THROWS_AS(Repeat<double>(std::move(copies), {"0"}), InputError);
}
