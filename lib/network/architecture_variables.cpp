#include "basin/network/architecture_variables.h"

#include <algorithm>
#include <cctype>
#include <cmath>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>

#include "basin/linalg/errors.h"
#include "basin/linalg/words.h"
#include "basin/network/architecture_json.h"
#include "basin/network/strict_json.h"

namespace basin {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kVariables = "variables";

[[noreturn]] void refuse_variable(const std::string& where, const std::string& what) {
  throw InputError("architecture: " + where + ": " + what);
}

bool begins_name(char c) {
  return std::isalpha(static_cast<unsigned char>(c)) != 0;
}

bool in_name(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_';
}

bool is_name(const std::string& text) {
  return !text.empty() && begins_name(text[0]) && std::all_of(text.begin(), text.end(), in_name);
}

[[noreturn]] void malformed(const std::string& text, const std::string& where) {
  refuse_variable(where, "found " + shown(text) +
                             "; expected a sum of products of variables and numbers, such as \"4*$D\"");
}

/// A whole number as one, as far as doubles have all of them.
Json number_of(double value) {
  constexpr double kWhole = 0x1p53;
  if (value == std::floor(value) && std::abs(value) <= kWhole) return static_cast<std::int64_t>(value);
  return value;
}

/// The number that a text is, all of it.
std::optional<double> parsed_number(const std::string& text) {
  if (text.empty() || std::isspace(static_cast<unsigned char>(text[0])) != 0) return std::nullopt;
  char* end = nullptr;
  const double value = std::strtod(text.c_str(), &end);
  if (*end != 0 || !std::isfinite(value)) return std::nullopt;
  return value;
}

/// A value that is given, of the kind that the declared one has.
Json of_kind(const std::string& name, const Json& declared, const std::string& given) {
  const std::string found = "found " + shown(given) + "; expected ";
  const std::string as = " as in the description, " + declared.dump();
  if (declared.is_string()) return given;
  if (declared.is_boolean()) {
    if (given != "true" && given != "false")
      refuse_variable(std::string(kVariables) + "." + name, found + "true or false," + as);
    return given == "true";
  }
  const auto value = parsed_number(given);
  if (!value) refuse_variable(std::string(kVariables) + "." + name, found + "a number," + as);
  return number_of(*value);
}

/// Values of the variables that are declared, and which of them were used.
class Variables {
 public:
  Variables(const Json& declared, const VariableValues& values) {
    if (!declared.is_object())
      refuse_variable(kVariables, std::string("found ") + declared.type_name() + "; expected an object");
    for (const auto& [name, value] : declared.items()) {
      const std::string where = std::string(kVariables) + "." + name.substr(0, 60);
      if (!is_name(name))
        refuse_variable(where, "expected a name of letters, digits and _ that begins with a letter");
      if (!value.is_number() && !value.is_string() && !value.is_boolean())
        refuse_variable(
            where, std::string("found ") + value.type_name() + "; expected a number, a word, true or false");
      const auto given = values.find(name);
      values_[name] = given == values.end() ? value : of_kind(name, value, given->second);
      names_.push_back(name);
    }
    for (const auto& [name, value] : values) static_cast<void>(named(name, "variables"));
  }

  void substitute(Json& value, const std::string& where) {
    if (value.is_structured()) {
      std::size_t place = 0;
      for (auto item = value.begin(); item != value.end(); ++item, ++place)
        substitute(*item, value.is_array() ? where + "[" + std::to_string(place) + "]"
                                           : where + (where.empty() ? "" : ".") + item.key().substr(0, 60));
    } else if (value.is_string()) {
      const auto text = value.get<std::string>();
      if (text.find('$') == std::string::npos) return;
      value = text[0] == '$' && is_name(text.substr(1)) ? named(text.substr(1), where)
                                                        : number_of(sum(text, where));
      if (value.is_number_float() && !std::isfinite(value.get<double>()))
        refuse_variable(where, shown(text) + " is not a finite number");
    }
  }

  void check_used() const {
    for (const std::string& name : names_)
      if (!used_.contains(name))
        refuse_variable(std::string(kVariables) + "." + name,
                        "is used nowhere; expected \"$" + name + "\" in the place of a value");
  }

 private:
  const Json& named(const std::string& name, const std::string& where) {
    const auto found = values_.find(name);
    if (found == values_.end())
      refuse_variable(where, "unknown variable " + shown(name) +
                                 (names_.empty() ? "; the description declares none" : meant(name, names_)));
    if (where != kVariables) used_.insert(name);
    return found->second;
  }

  /// A number, or that of a variable, which begins at `place`; puts that behind it.
  double factor(const std::string& text, std::size_t& place, const std::string& where) {
    const std::size_t first = place;
    if (place < text.size() && text[place] == '$') {
      while (++place < text.size() && in_name(text[place])) {
      }
      const std::string name = text.substr(first + 1, place - first - 1);
      const Json& value = named(name, where);
      if (!value.is_number())
        refuse_variable(where, shown(text) + ": $" + name + " is " + value.dump() + "; expected a number");
      return value.get<double>();
    }
    while (place < text.size() &&
           (std::isdigit(static_cast<unsigned char>(text[place])) != 0 || text[place] == '.'))
      ++place;
    const auto value = parsed_number(text.substr(first, place - first));
    if (!value) malformed(text, where);
    return *value;
  }

  double product(const std::string& text, std::size_t& place, const std::string& where) {
    double value = factor(text, place, where);
    while (place < text.size() && (text[place] == '*' || text[place] == '/')) {
      const bool times = text[place++] == '*';
      const double by = factor(text, place, where);
      value = times ? value * by : value / by;
    }
    return value;
  }

  double sum(const std::string& with_blanks, const std::string& where) {
    std::string text;
    for (const char c : with_blanks)
      if (c != ' ') text += c;
    std::size_t place = 0;
    double value = product(text, place, where);
    while (place < text.size() && (text[place] == '+' || text[place] == '-')) {
      const bool plus = text[place++] == '+';
      const double term = product(text, place, where);
      value = plus ? value + term : value - term;
    }
    if (place < text.size()) malformed(text, where);
    return value;
  }

  std::map<std::string, Json> values_;
  std::vector<std::string> names_;
  std::set<std::string> used_;
};

}  // namespace

void substitute_variables(Json& description, const VariableValues& values) {
  Json declared = Json::object();
  if (description.is_object() && description.contains(kVariables)) {
    declared = description[kVariables];
    description.erase(kVariables);
  } else if (values.empty()) {
    return;
  }
  Variables variables(declared, values);
  variables.substitute(description, "");
  variables.check_used();
}

std::vector<std::string> variables_of(const std::string& json) {
  const Json description = strict_json(json, kMostDescriptionText);
  std::vector<std::string> names;
  if (description.is_object() && description.contains(kVariables) && description[kVariables].is_object())
    for (const auto& [name, value] : description[kVariables].items()) names.push_back(name);
  return names;
}

}  // namespace basin
