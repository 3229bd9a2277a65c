#include "basin/network/architecture_variables.h"

#include <catch2/catch.hpp>

#include "basin/linalg/errors.h"
#include "basin/network/architecture_json.h"

using namespace basin;
using Catch::Matchers::Contains;

namespace {

/// A network whose linear layer has that many outputs.
std::string varying_network(const std::string& variables, const std::string& outputs) {
  return R"({"variables": )" + variables +
         R"(, "inputs": {"type": "vectors", "tokens": 2, "width": 3}, "layers": [{"type": "linear", "outputs": )" +
         outputs + "}]}";
}

Index outputs_by(const std::string& expression, const VariableValues& values = {}) {
  const Architecture a = architecture_from_json(
      varying_network(R"({"D": 12, "H": 4})", "\"0*$D*$H+" + expression + "\""), values);
  return std::get<Index>(a.layers[0].options.at("outputs"));
}

std::string refusal_of_variables(const std::string& text, const VariableValues& values = {}) {
  try {
    architecture_from_json(text, values);
  } catch (const InputError& error) {
    return error.what();
  }
  return "";
}

}  // namespace

TEST_CASE("values, sums and products of variables") {
  CHECK(outputs_by("$D") == 12);
  CHECK(outputs_by("4*$D") == 48);
  CHECK(outputs_by("$D/$H") == 3);
  CHECK(outputs_by("$D/$H*2") == 6);
  CHECK(outputs_by("$D + 2*$H - 1") == 19);
  CHECK(outputs_by("8*$D/3") == 32);
  CHECK(outputs_by("0.5*$D") == 6);
  CHECK(outputs_by("$D/$H", {{"D", "20"}}) == 5);
  CHECK(outputs_by("$D/$H", {{"D", "20"}, {"H", "5"}}) == 4);
  CHECK(outputs_by("$D", {{"D", "2e1"}}) == 20);
}

TEST_CASE("words, numbers, whether, and what is inside") {
  const std::string text =
      R"({"variables": {"kernel": "softmax", "sigma": 1.5, "times": 2, "bias": true, "n": 2},
    "inputs": {"type": "vectors", "tokens": "$n", "width": 3}, "layers": [{"type": "repeat", "times": "$times", "layers": [
    {"type": "attention", "heads": 1, "head-dim": 2, "kernel": {"type": "$kernel", "bandwidth": "$sigma"}}]},
    {"type": "linear", "outputs": 1, "bias": "$bias"}]})";
  const auto with = [&](const VariableValues& values) { return architecture_from_json(text, values); };
  const Architecture a =
      with({{"kernel", "gaussian"}, {"sigma", "0.25"}, {"times", "3"}, {"bias", "false"}, {"n", "7"}});
  CHECK(a.input.tokens == 7);
  CHECK(std::get<Index>(a.layers[0].options.at("times")) == 3);
  CHECK(std::get<std::string>(a.layers[0].layers[0].options.at("kernel")) == "gaussian");
  CHECK(std::get<double>(a.layers[0].layers[0].options.at("bandwidth")) == 0.25);
  CHECK_FALSE(std::get<bool>(a.layers[1].options.at("bias")));
  // with the values that it has, and as it is written: without variables
  CHECK(to_json(with({})) == to_json(architecture_from_json(to_json(with({})))));
  CHECK_THAT(to_json(with({})), !Contains("variables") && !Contains("$"));
  CHECK(variables_of(text) == std::vector<std::string>{"kernel", "sigma", "times", "bias", "n"});
  CHECK(variables_of("{}").empty());
}

TEST_CASE("what cannot be is refused, with its place") {
  const auto refused = [](const std::string& expression, const VariableValues& values = {}) {
    return refusal_of_variables(varying_network(R"({"D": 12, "H": 4})", expression), values);
  };
  CHECK_THAT(refused("\"$D/8+0*$H\""), Contains("layers[0].outputs: found 1.5; expected an integer"));
  CHECK_THAT(refused("\"$D/0*$H\""), Contains("layers[0].outputs: '$D/0*$H' is not a finite number"));
  CHECK_THAT(refused("\"$Q\""), Contains("layers[0].outputs: unknown variable 'Q'; did you mean 'D'?"));
  CHECK_THAT(refused("\"$D$H\""), Contains("layers[0].outputs: found '$D$H'; expected a sum of products"));
  CHECK_THAT(refused("\"$D*$H*\""), Contains("expected a sum of products"));
  CHECK_THAT(refused("\"($D+$H)*2\""), Contains("expected a sum of products"));
  CHECK_THAT(refused("\"-$D+$H\""), Contains("expected a sum of products"));
  CHECK_THAT(refused("\"$\""), Contains("unknown variable ''"));
  CHECK_THAT(refused("\"$D\""), Contains("variables.H: is used nowhere; expected \"$H\""));
  CHECK_THAT(refused("\"$D*$H\"", {{"d", "2"}}),
             Contains("variables: unknown variable 'd'; did you mean 'D'?"));
  CHECK_THAT(refused("\"$D*$H\"", {{"D", "two"}}),
             Contains("variables.D: found 'two'; expected a number, as in the description, 12"));
  CHECK_THAT(refusal_of_variables(varying_network(R"({"w": "relu"})", "\"2*$w\"")),
             Contains("$w is \"relu\"; expected a number"));
  CHECK_THAT(refusal_of_variables(varying_network(R"({"b": true})", "\"$b\""), {{"b", "1"}}),
             Contains("expected true or false"));
  CHECK_THAT(refusal_of_variables(varying_network(R"({"D": [1]})", "\"$D\"")),
             Contains("variables.D: found array; expected a number"));
  CHECK_THAT(refusal_of_variables(varying_network(R"({"a.b": 1})", "1")),
             Contains("variables.a.b: expected a name of letters"));
  CHECK_THAT(refusal_of_variables(varying_network("3", "1")),
             Contains("variables: found number; expected an object"));
  // what declares none has texts as they are, and no variables to set
  const std::string plain = R"({"inputs": {"type": "vectors", "tokens": 2, "width": 3},
                               "layers": [{"type": "linear", "name": "$D", "outputs": 1}]})";
  CHECK(architecture_from_json(plain).layers[0].name == "$D");
  CHECK_THAT(refusal_of_variables(plain, {{"D", "2"}}),
             Contains("unknown variable 'D'; the description declares none"));
}
