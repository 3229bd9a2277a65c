#include "basin/network/layer_types.h"

#include <map>

#include "basin/linalg/errors.h"
#include "basin/network/architecture_json.h"
#include "support/check_layer.h"

using namespace basin;
using namespace basin::test;

namespace {

std::string network(const std::string& layers,
                    const std::string& inputs = R"("type": "vectors", "tokens": 3, "width": 4)") {
  return R"({"inputs": {)" + inputs + R"(}, "layers": [)" + layers + "]}";
}

std::vector<std::string> names(const std::string& text) {
  std::vector<std::string> all;
  for (const ParameterBlock& block : blocks(architecture_from_json(text))) all.push_back(block.name);
  return all;
}

/// What is said of it, when it is read or built.
std::string refusal(const std::string& layers) {
  try {
    blocks(architecture_from_json(network(layers)));
  } catch (const InputError& error) {
    return error.what();
  }
  return "";
}

using Names = std::vector<std::string>;

}  // namespace

TEST_CASE("blocks have the names of the containers and layers they are in") {
  CHECK(names(network(R"({"type": "repeat", "name": "blocks", "times": 2, "layers": [
                            {"type": "residual", "layers": [{"type": "layer-norm", "name": "norm1"},
                                                            {"type": "attention", "heads": 2, "head-dim": 3}]},
                            {"type": "residual", "name": "mlp", "layers": [
                               {"type": "rms-norm", "name": "norm"}, {"type": "linear", "name": "in", "outputs": 6},
                               {"type": "activation", "function": "gelu"},
                               {"type": "linear", "name": "out", "outputs": 4, "bias": false}]}]},
                          {"type": "layer-norm", "name": "final-norm", "bias": false}, {"type": "pool"},
                          {"type": "linear", "name": "head", "outputs": 2})")) ==
        Names{"blocks.0.norm1.g",
              "blocks.0.norm1.beta",
              "blocks.0.attention.W_Q",
              "blocks.0.attention.W_K",
              "blocks.0.attention.W_V",
              "blocks.0.attention.W_O",
              "blocks.0.mlp.norm.g",
              "blocks.0.mlp.in.W",
              "blocks.0.mlp.in.b",
              "blocks.0.mlp.out.W",
              "blocks.1.norm1.g",
              "blocks.1.norm1.beta",
              "blocks.1.attention.W_Q",
              "blocks.1.attention.W_K",
              "blocks.1.attention.W_V",
              "blocks.1.attention.W_O",
              "blocks.1.mlp.norm.g",
              "blocks.1.mlp.in.W",
              "blocks.1.mlp.in.b",
              "blocks.1.mlp.out.W",
              "final-norm.g",
              "head.W",
              "head.b"});
  // SwiGLU, and branches beside the identity
  CHECK(names(network(R"({"type": "sum", "branches": ["identity",
                            [{"type": "product", "branches": [
                                [{"type": "linear", "name": "gate", "outputs": 6}, {"type": "activation", "function": "silu"}],
                                {"type": "linear", "name": "up", "outputs": 6}]},
                             {"type": "linear", "name": "down", "outputs": 4}]]})")) ==
        Names{"gate.W", "gate.b", "up.W", "up.b", "down.W", "down.b"});
}

TEST_CASE("queries and keys under a Gaussian kernel are one group, layer by layer") {
  const Architecture a = architecture_from_json(network(
      R"({"type": "repeat", "name": "blocks", "times": 2, "layers": [
           {"type": "attention", "heads": 2, "head-dim": 3, "kernel": "gaussian", "bias": "qko"}]},
         {"type": "attention", "heads": 2, "head-dim": 3})"));
  std::map<std::string, Index> members;
  for (const ParameterBlock& block : blocks(a)) ++members[block.group];
  CHECK(members == std::map<std::string, Index>{
                       {"blocks.0.attention.scores", 4}, {"blocks.1.attention.scores", 4}, {"", 10}});
}

TEST_CASE("networks of all layers there are obey the four rules") {
  const std::string text = network(
      R"({"type": "positions", "rows": 5}, {"type": "class-token"},
         {"type": "repeat", "name": "blocks", "times": 2, "layers": [
           {"type": "sum", "branches": ["identity",
             [{"type": "layer-norm", "name": "norm1", "epsilon": 0.01}, {"type": "attention", "heads": 2, "head-dim": 2, "bias": "qo"}],
             [{"type": "rms-norm", "name": "norm2", "epsilon": 0.01},
              {"type": "product", "branches": [
                [{"type": "linear", "name": "gate", "outputs": 6}, {"type": "activation", "function": "silu"}],
                {"type": "linear", "name": "up", "outputs": 6, "bias": false}]},
              {"type": "linear", "name": "down", "outputs": 4}]]}]},
         {"type": "residual", "layers": [{"type": "activation", "function": "tanh"}]},
         {"type": "positions", "kind": "sinusoidal", "name": "late"}, {"type": "mask-rows"},
         {"type": "pool", "by": "mean"}, {"type": "linear", "name": "head", "outputs": 3})");
  const Architecture a = architecture_from_json(text);
  CHECK(to_json(architecture_from_json(to_json(a))) == to_json(a));
  const auto layer = make_network<double>(a);
  // attention's rules take other blocks than those that are named: see NamedLayer
  for (const bool moves : {true, false}) check_layer(*layer, 2, moves, {});
  const Mask mask = {1, 1, 0, /**/ 0, 1, 0};
  check_layer(*layer, 2, true, {}, 1, {.ids = {}, .mask = mask});
}

TEST_CASE("what layers do not take is refused in one line") {
  const std::string linear = R"({"type": "linear", "outputs": 4})";
  CHECK(refusal(linear + "," + linear) ==
        "two layers are called 'linear'; give them names, e.g. 'linear1' and 'linear2'");
  CHECK(refusal(R"({"type": "residual", "layers": [)" + linear + R"(]}, {"type": "residual", "layers": [)" +
                linear + "]}") ==
        "two parameter blocks are called linear.W; give one of the layers, or what they are in, a name");
  CHECK(refusal(
            linear +
            R"(, {"type": "activation", "function": "relu"}, {"type": "activation", "function": "relu"})") ==
        "");
  CHECK(refusal(R"({"type": "activation", "function": "relu"})") == "the network has no parameters");
  CHECK(refusal(R"({"type": "residual", "layers": [{"type": "linear", "outputs": 5}]})") ==
        "residual: its layers take (tokens, width) = (3, 4) and give (3, 5); expected the same, as both are "
        "added");
  CHECK(refusal(R"({"type": "repeat", "times": 1000000, "layers": [)" + linear + "]}") ==
        "more than 100000 layers, repetitions counted; expected fewer");
  CHECK(refusal(
            R"({"type": "repeat", "times": 1000, "layers": [{"type": "repeat", "times": 1000, "layers": [)" +
            linear + "]}]}") == "more than 100000 layers, repetitions counted; expected fewer");
  CHECK(refusal(R"({"type": "repeat", "times": 0, "layers": [)" + linear + "]}") ==
        "repeat: times = 0; expected at least 1");
  CHECK(refusal(R"({"type": "sum", "branches": ["identity"]})") ==
        "sum: found 1 branches; expected 2 or more");
  CHECK(refusal(R"({"type": "sum", "branches": ["identiy", "identity"]})") ==
        "architecture: layers[0].branches[0]: found string; expected an object");
  CHECK(refusal(R"({"type": "activation", "function": "gelo"})") ==
        "unknown activation function 'gelo'; expected relu, gelu, gelu-tanh, silu or tanh");
  CHECK(refusal(R"({"type": "layer-norm", "epsilon": -1})") ==
        "layer-norm: epsilon = -1.000000; expected a number from 0");
  CHECK(
      refusal(R"({"type": "rms-norm", "bias": true})") ==
      "architecture: layers[0]: rms-norm: unknown member 'bias'; expected one of type, name, epsilon, gain");
  CHECK(refusal(R"({"type": "embedding", "width": 3, "vocabulary": 5})") ==
        "embedding: its input is no token ids; expected it first, after inputs of type tokens");
  CHECK(refusal(R"({"type": "linear"})") == "linear: outputs = 0; expected at least 1");
  CHECK(refusal(R"({"type": "pool", "over": "reel"})") == "pool: unknown over 'reel'; expected real or all");
}
