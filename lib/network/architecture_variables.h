/// Variables of descriptions: a network of any width, depth or kernel in one text.
#pragma once

#include <map>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

namespace basin {

/// Values of variables by their names, as on a command line: "64", "gaussian", "true".
using VariableValues = std::map<std::string, std::string>;

/// Puts values in the place of variables. The member `variables` of a description, {"D": 64, "kernel":
/// "softmax"}, declares them, each with the value that it has where `values` has no other one; that member is
/// taken out. Everywhere else the text "$D" becomes the value, and sums and products of variables and
/// numbers, "4*$D", "$D/$H", "$n+1", become what they give in double precision: * and / before + and -, from
/// the left to the right. Nothing is rounded: where a size is asked for, one that is not whole is refused as
/// such. Without that member, texts stay what they are. Throws InputError, naming the place, for a variable
/// that is not declared, not used, or given as what it is not (a number, a word, or whether), and for what is
/// no sum of products.
void substitute_variables(nlohmann::ordered_json& description, const VariableValues& values);

/// The variables that a JSON text declares, in order. Throws InputError as architecture_from_json for what is
/// no JSON.
std::vector<std::string> variables_of(const std::string& json);

}  // namespace basin
