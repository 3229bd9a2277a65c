#include "basin/network/architecture_json.h"

#include <catch2/catch.hpp>

#include "basin/linalg/errors.h"
#include "basin/network/attention_spec.h"
#include "basin/network/layer_types.h"

using namespace basin;
using namespace basin::test;

namespace {

const std::string kInputs = R"("inputs": {"type": "vectors", "tokens": 3, "width": 4})";

std::string network(const std::string& layers, const std::string& more = "") {
  return "{" + kInputs + R"(, "layers": [)" + layers + "]" + more + "}";
}

std::string message(const std::string& text) {
  try {
    architecture_from_json(text);
  } catch (const InputError& error) {
    return error.what();
  }
  return "accepted";
}

}  // namespace

TEST_CASE("an architecture from its text and back") {
  const Architecture a = architecture_from_json(network(
      R"({"type": "attention", "name": "first", "heads": 2, "head-dim": 5, "outputs": 6,
          "kernel": {"type": "gaussian", "bandwidth": 1.1}},
         {"type": "linear", "outputs": 2})",
      R"(, "loss": {"type": "squared"})"));
  CHECK(a.input == Shape{3, 4});
  REQUIRE(a.layers.size() == 2);
  CHECK(a.layers[0].name == "first");
  CHECK(a.layers[0].options.at("head-dim") == LayerOption(Index{5}));
  CHECK(a.layers[0].options.at("kernel") == LayerOption("gaussian"));
  CHECK(a.layers[0].options.at("bandwidth") == LayerOption(1.1));
  CHECK(blocks(a).size() == 6);
  CHECK(blocks(a)[0].name == "first.W_Q");

  const std::string text = to_json(a);
  const Architecture back = architecture_from_json(text);
  CHECK((back.input == a.input && back.loss == a.loss && back.layers.size() == 2));
  for (std::size_t l = 0; l < 2; ++l) CHECK(with_defaults(back.layers[l]) == with_defaults(a.layers[l]));
  CHECK(to_json(back) == text);
  // defaults are written out, whatever was left out or in which order
  const std::string one = R"({"type": "attention", "heads": 1, "head-dim": 2, "outputs": 2})",
                    other = R"({"outputs": 2, "bandwidth": 0, "kernel": "softmax", "head-dim": 2, "heads": 1,
                                "type": "attention"})";
  CHECK(to_json(architecture_from_json(network(one))) == to_json(architecture_from_json(network(other))));
  CHECK_THAT(to_json(architecture_from_json(network(one))),
             Catch::Matchers::Contains(R"("kernel": "softmax")"));
  CHECK(single_attention(architecture_from_json(network(one))).has_value());
}

TEST_CASE("attention with all its options, from its text and back") {
  const std::string text = network(
      R"({"type": "attention", "heads": 4, "head-dim": 6, "kv-heads": 2, "kernel": {"type": "gaussian"},
          "bias": "qv", "causal": true, "rotary": {"dimensions": 4, "pairing": "interleaved"}})");
  const Architecture a = architecture_from_json(text);
  CHECK(attention_spec(with_defaults(a.layers[0]), a.input) ==
        AttentionSpec{
            3, 4, 4, 6, 4, KernelKind::gaussian, 0, {2, "qv", true, {4, 10000, RotaryPairing::interleaved}}});
  const std::vector<ParameterBlock> found = blocks(a);
  const std::vector<ParameterBlock> expected = {{"W_Q", {4, 4, 6}}, {"W_K", {2, 4, 6}}, {"W_V", {2, 4, 6}},
                                                {"W_O", {4, 6, 4}}, {"b_Q", {4, 6}},    {"b_V", {2, 6}}};
  REQUIRE(found.size() == expected.size());
  for (std::size_t b = 0; b < found.size(); ++b) {
    CHECK(found[b].name == expected[b].name);
    CHECK(found[b].shape == expected[b].shape);
  }
  CHECK_FALSE(single_attention(a).has_value());
  CHECK_THAT(to_json(a), Catch::Matchers::Contains(R"("rotary": {
        "dimensions": 4,
        "base": 10000.0,
        "pairing": "interleaved"
      })"));
  CHECK(to_json(architecture_from_json(to_json(a))) == to_json(a));

  const auto attention = [&](const std::string& more) {
    return message(network(R"({"type": "attention", "heads": 2, "head-dim": 2, )" + more + "}"));
  };
  CHECK(attention(R"("causal": 1)") ==
        "architecture: layers[0].causal: found number; expected true or false");
  CHECK(attention(R"("rotary": 2)") == "architecture: layers[0].rotary: found number; expected an object");
  CHECK(attention(R"("rotary": {"dimension": 2})") ==
        "architecture: layers[0].rotary: unknown member 'dimension'; did you mean 'dimensions'?");
  CHECK(attention(R"("rotary": {"base": "2"})") ==
        "architecture: layers[0].rotary.base: found string; expected a number");
  const auto built = [&](const std::string& more) {
    return blocks(
        architecture_from_json(network(R"({"type": "attention", "heads": 2, "head-dim": 2, )" + more + "}")));
  };
  CHECK_THROWS_WITH(built(R"("kv-heads": 3)"), "kv-heads = 3; expected a divisor of heads H = 2");
  CHECK_THROWS_WITH(built(R"("rotary": {"pairing": "half"})"),
                    "unknown pairing 'half'; expected halves or interleaved");
  // alone, without options beyond the paper's, it is the layer that more is known of
  CHECK(single_attention(architecture_from_json(
                             network(R"({"type": "attention", "heads": 2, "head-dim": 2, "kv-heads": 2})")))
            .has_value());
}

TEST_CASE("what is wrong with an architecture is said in one line, with its place and the nearest word") {
  const std::string linear = R"({"type": "linear", "outputs": 2})";
  CHECK(message("{") ==
        "architecture: no JSON: parse error at line 1, column 2: syntax error while parsing object key - "
        "unexpected end of input; expected string literal");
  CHECK(message("[]") == "architecture: found array; expected an object");
  CHECK(message("{}") == "architecture: 'inputs' is missing");
  CHECK(message(R"({"input": {}})") == "architecture: unknown member 'input'; did you mean 'inputs'?");
  CHECK(message("{" + kInputs + "}") == "architecture: 'layers' is missing");
  CHECK(message(network("")) == "architecture: layers: found an empty list; expected a list of layers");
  CHECK(message(network("3")) == "architecture: layers[0]: found number; expected an object");
  CHECK(message(network(R"({"type": "linaer", "outputs": 2})")) ==
        "architecture: layers[0].type: unknown layer type 'linaer'; did you mean 'linear'?");
  CHECK_THAT(message(network(R"({"type": "convolution"})")),
             Catch::Matchers::StartsWith("architecture: layers[0].type: unknown layer type 'convolution'; "
                                         "expected one of attention, linear"));
  CHECK(message(network(linear + R"(, {"type": "linear", "ouptuts": 2})")) ==
        "architecture: layers[1]: linear: unknown member 'ouptuts'; did you mean 'outputs'?");
  CHECK(message(network(R"({"type": "linear", "outputs": "2"})")) ==
        R"(architecture: layers[0].outputs: found "2"; expected an integer of at most 2^40)");
  CHECK(message(network(R"({"type": "linear", "outputs": 1e3})")) ==
        "architecture: layers[0].outputs: found 1000.0; expected an integer of at most 2^40");
  CHECK_THAT(message(network(R"({"type": "linear", "outputs": 99999999999999999999})")),
             Catch::Matchers::Contains("layers[0].outputs"));
  CHECK_THAT(message(network(R"({"type": "linear", "outputs": 18446744073709551615})")),
             Catch::Matchers::Contains("expected an integer of at most 2^40"));
  CHECK(message(network(R"({"type": "linear", "outputs": 2, "outputs": 3})")) ==
        "architecture: the member 'outputs' stands twice in one object");
  CHECK(message(network(R"({"type": "attention", "heads": 1, "kernel": {"bandwidth": 2}})")) ==
        "architecture: layers[0].kernel: 'type' is missing");
  CHECK(message(network(R"({"type": "attention", "kernel": {"type": "gaussian", "bandwith": 2}})")) ==
        "architecture: layers[0].kernel: attention: unknown member 'bandwith'; did you mean 'bandwidth'?");
  CHECK(message(network(
            R"({"type": "attention", "bandwidth": 1, "kernel": {"type": "gaussian", "bandwidth": 2}})")) ==
        "architecture: layers[0].kernel.bandwidth: stands twice");
  CHECK(message(network(R"({"type": "linear", "outputs": 2, "name": "a.b"})")) ==
        "architecture: layers[0].name: found 'a.b'; expected a name without '.', '/' and '*'");
  CHECK(message(R"({"inputs": {"type": "vectors", "tokens": 0, "width": 4}, "layers": []})") ==
        "architecture: inputs.tokens: found 0; expected at least 1");
  CHECK(message(R"({"inputs": {"type": "vector", "tokens": 1, "width": 4}, "layers": []})") ==
        "architecture: inputs.type: unknown inputs 'vector'; did you mean 'vectors'?");
}

TEST_CASE("layers stand in containers, which types entered from outside may be, and nowhere else") {
  const std::string inner = R"({"type": "linear", "outputs": 4})";
  const auto residual = [](const std::string& layers) {
    return R"({"type": "residual", "name": "r", "layers": [)" + layers + "]}";
  };
  const Architecture a = architecture_from_json(network(residual(residual(inner))));
  REQUIRE(a.layers[0].layers.size() == 1);
  REQUIRE(a.layers[0].layers[0].layers.size() == 1);
  CHECK(blocks(a)[0].name == "r.r.linear.W");
  CHECK(to_json(architecture_from_json(to_json(a))) == to_json(a));
  CHECK(message(network(R"({"type": "residual", "name": "r"})")) ==
        "architecture: layers[0]: 'layers' is missing");
  CHECK(message(network(residual(residual(R"({"type": "linear"}, {"type": "linaer"})")))) ==
        "architecture: layers[0].layers[0].layers[1].type: unknown layer type 'linaer'; did you mean "
        "'linear'?");
  CHECK(message(network(R"({"type": "linear", "outputs": 2, "layers": [)" + inner + "]}")) ==
        "architecture: layers[0]: linear: unknown member 'layers'; expected one of type, name, outputs, "
        "bias, weight");
  Architecture b = a;
  b.layers[0].layers.clear();
  CHECK_THROWS_WITH(blocks(b), "residual: expected layers inside it, found none");
  b = a;
  b.layers[0].layers[0].type = "linear";
  CHECK_THROWS_WITH(blocks(b), "linear: found layers inside it; it takes none");
}

TEST_CASE("nesting without end, long texts and long words are refused at once") {
  CHECK(message(std::string(50'000, '[')) == "architecture: nested deeper than 64 brackets");
  std::string deep;
  for (int i = 0; i < 50'000; ++i) deep += R"({"a":)";
  CHECK(message(deep) == "architecture: nested deeper than 64 brackets");
  CHECK(message(std::string((1U << 20U) + 1, ' ')) == "architecture: 1048577 bytes; expected at most 1 MiB");
  CHECK(message(network(R"({"type": ")" + std::string(100'000, 'x') + R"("})")).size() < 300);
  CHECK(message(network(R"({"type": "linear", ")" + std::string(100'000, 'x') + R"(": 1})")).size() < 400);
}

TEST_CASE("every layer is visited with its input and what its blocks are called by") {
  const Architecture a =
      architecture_from_json(R"({"inputs": {"type": "tokens", "tokens": 4, "vocabulary": 9},
    "layers": [{"type": "embedding", "width": 6},
               {"type": "repeat", "name": "blocks", "times": 2, "layers": [
                 {"type": "residual", "layers": [{"type": "linear", "name": "in", "outputs": 8},
                                                 {"type": "linear", "name": "out", "outputs": 6}]},
                 {"type": "sum", "name": "both", "branches": ["identity", [{"type": "linear", "outputs": 6}]]}]},
               {"type": "pool"}, {"type": "linear", "name": "head", "outputs": 3}]})");
  std::vector<std::string> visited, names;
  for_each_layer(a, [&](const LayerDescription& layer, Shape input, const std::string& prefix) {
    visited.push_back(layer.type + " " + prefix + " " + std::to_string(input.tokens) + " x " +
                      std::to_string(input.width));
    if (layer.layers.empty())
      for (const ParameterBlock& block : own_blocks(layer, input)) names.push_back(prefix + block.name);
  });
  CHECK(visited[0] == "embedding embedding. 4 x 0");
  CHECK(visited[1] == "repeat blocks. 4 x 6");
  CHECK(visited[2] == "residual blocks.0. 4 x 6");
  CHECK(visited[4] == "linear blocks.0.out. 4 x 8");
  CHECK(visited.back() == "linear head. 1 x 6");
  std::vector<std::string> expected;
  for (const ParameterBlock& block : blocks(a)) expected.push_back(block.name);
  CHECK(names == expected);
}

TEST_CASE("losses: options have defaults, which are written out, and what is unknown is refused") {
  const auto with = [](const std::string& loss) {
    return architecture_from_json(R"({"inputs": {"type": "vectors", "tokens": 2, "width": 3},
      "layers": [{"type": "linear", "outputs": 2}], "loss": )" +
                                  loss + "}");
  };
  CHECK(with(R"({"type": "cross-entropy"})").loss.options.at("average") == LayerOption("rows"));
  CHECK(with(R"({"type": "squared", "half": false})").loss ==
        LossDescription{"squared", {{"average", "sum"}, {"half", false}}});
  CHECK(to_json(with(R"({"type": "squared"})")).find("\"half\": true") != std::string::npos);
  const Architecture summed = with(R"({"type": "cross-entropy", "average": "sum"})");
  CHECK(architecture_from_json(to_json(summed)).loss == summed.loss);
  CHECK_THROWS_WITH(
      with(R"({"type": "hinge"})"),
      Catch::Matchers::Contains("loss.type: unknown loss 'hinge'; expected one of squared, cross-entropy"));
  CHECK_THROWS_WITH(with(R"({"type": "squared", "half": "yes"})"),
                    Catch::Matchers::Contains("loss.half: found string; expected true or false"));
  CHECK_THROWS_WITH(with(R"({"average": "sum"})"), Catch::Matchers::Contains("loss: 'type' is missing"));
}
