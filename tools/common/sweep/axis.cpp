#include "common/sweep/axis.h"

#include <algorithm>
#include <cctype>
#include <cmath>
#include <set>

#include "basin/linalg/errors.h"
#include "common/command/words.h"

namespace basin::tools {
namespace {

constexpr Index kMostValues = 10000;
constexpr const char* kSet = "set";  // the option that gives variables values

[[noreturn]] void fail(const std::string& axis, const std::string& message) {
  throw InputError("--sweep " + axis + ": " + message);
}

/// Splits at + where a NAME= follows, so that neither a:b:+step nor W_Q+W_K is cut.
std::vector<std::string> split_pairs(const std::string& text) {
  std::vector<std::string> parts;
  std::size_t start = 0;
  for (std::size_t plus = text.find('+'); plus != std::string::npos; plus = text.find('+', plus + 1)) {
    std::size_t end = plus + 1;
    while (end < text.size() &&
           (std::isalnum(static_cast<unsigned char>(text[end])) != 0 || text[end] == '-' ||
            text[end] == '_' || text[end] == '.' || text[end] == '*'))
      ++end;
    if (end == plus + 1 || end == text.size() || text[end] != '=') continue;
    parts.push_back(text.substr(start, plus - start));
    start = plus + 1;
  }
  parts.push_back(text.substr(start));
  return parts;
}

/// The values of a:b:step, a:b:+step or a:b:*factor.
std::vector<std::string> range(const std::string& axis, const std::string& item) {
  const std::size_t first = item.find(':'), second = item.find(':', first + 1);
  const bool good = second != std::string::npos;
  const std::string last = good ? item.substr(second + 1) : "";
  const bool factor = last.rfind('*', 0) == 0;
  const auto from = parse_number(item.substr(0, first)),
             to = parse_number(item.substr(first + 1, second - first - 1)),
             by = parse_number(factor ? last.substr(1) : last);
  if (!good || !from || !to || !by)
    fail(axis, "found the range '" + item + "'; expected a:b:step, a:b:+step or a:b:*factor, in numbers");
  const double a = *from, b = *to, step = *by;
  if (factor && !(step > 0 && step != 1 && a * b > 0))
    fail(axis, "found the range '" + item +
                   "'; expected a positive factor other than 1, and ends of the same sign, not 0");
  const bool towards =
      factor ? (std::abs(b) - std::abs(a)) * (step - 1) >= 0 : step != 0 && (b - a) * step >= 0;
  if (!towards)
    fail(axis, "found the range '" + item + "', which never gets from " + number(a) + " to " + number(b));
  const double steps = factor ? std::log(b / a) / std::log(step) : (b - a) / step;
  if (steps >= static_cast<double>(kMostValues))
    fail(axis, "found the range '" + item + "' of more than " + std::to_string(kMostValues) + " values");
  std::vector<std::string> values;
  // A little beyond b, so that rounding does not lose it; 12 digits, so that 3 x 0.1 is 0.3.
  for (Index i = 0; static_cast<double>(i) <= steps * (1 + 1e-12) + 1e-9; ++i)
    values.push_back(
        number(factor ? a * std::pow(step, static_cast<double>(i)) : a + static_cast<double>(i) * step, 12));
  return values;
}

/// Seeds are derived, not swept.
bool is_seed(const std::string& option) {
  return option == "seed" || (option.size() > 5 && option.compare(option.size() - 5, 5, "-seed") == 0);
}

/// "N" of the option samples,N; empty without a letter.
std::string letter_of(const po::option_description& option) {
  const std::string shown = option.canonical_display_name(po::command_line_style::allow_dash_for_short);
  return shown.size() == 2 && shown[0] == '-' ? shown.substr(1) : "";
}

/// The option of that long name or letter; null without one.
const po::option_description* named_option(const std::string& name,
                                           const po::options_description& sweepable) {
  for (const auto& option : sweepable.options())
    if (name == option->long_name() || name == letter_of(*option)) return option.get();
  return nullptr;
}

std::string names(const po::options_description& sweepable, const std::vector<std::string>& variables) {
  std::string list;
  for (const std::string& variable : variables) list += (list.empty() ? "" : ", ") + variable;
  for (const auto& option : sweepable.options()) {
    if (is_seed(option->long_name())) continue;
    const std::string letter = letter_of(*option);
    list += (list.empty() ? "" : ", ") + option->long_name() + (letter.empty() ? "" : " (" + letter + ")");
  }
  return list;
}

/// Finds the option by its long name or its letter, or the variable; fills option, key and name.
SweptOption find_option(const std::string& axis, const std::string& given,
                        const po::options_description& sweepable, const std::vector<std::string>& variables) {
  const std::size_t dot = given.find('.');
  const std::string base = given.substr(0, dot), key = dot == std::string::npos ? "" : given.substr(dot + 1);
  const po::option_description* option = named_option(base, sweepable);
  if (std::find(variables.begin(), variables.end(), given) != variables.end()) {
    if (option == nullptr) return {kSet, given, given, {}};
    fail(axis, "'" + given + "' is an option, and a variable of the network; expected set." + given +
                   " for the variable");
  }
  if (is_seed(base))
    fail(axis, "seeds cannot be swept: every draw has its own, derived from --seed; see --repeats");
  if (option == nullptr)
    fail(axis, "unknown option '" + base + "'; expected one of " + names(sweepable, variables));
  const bool repeatable = option->semantic()->is_composing();
  const bool variable = option->long_name() == kSet;
  if (repeatable != !key.empty())
    fail(axis, "found '" + given + "'; expected " +
                   (variable     ? std::string("set.VARIABLE, e.g. set.depth=1:4:1")
                    : repeatable ? base + ".BLOCK, e.g. " + base + ".W_O=0.5:4:*2"
                                 : base + " alone"));
  const std::string letter = letter_of(*option);
  const bool own_name = variable && named_option(key, sweepable) == nullptr;
  return {option->long_name(), key, own_name ? key : letter.empty() ? given : letter, {}};
}

}  // namespace

bool SweptOption::numeric() const {
  return std::all_of(values.begin(), values.end(),
                     [](const std::string& value) { return parse_number(value).has_value(); });
}

std::vector<double> SweptOption::numbers() const {
  std::vector<double> all(values.size());
  for (std::size_t i = 0; i < values.size(); ++i) all[i] = parse_number(values[i]).value_or(0);
  return all;
}

std::string SweepAxis::text() const {
  std::string all;
  for (const SweptOption& option : options) {
    all += (all.empty() ? "" : "+") + option.long_name() + "=";
    for (std::size_t i = 0; i < option.values.size(); ++i) all += (i > 0 ? "," : "") + option.values[i];
  }
  return all;
}

SweepAxis parse_axis(const std::string& text, const po::options_description& sweepable,
                     const std::vector<std::string>& variables) {
  SweepAxis axis;
  for (const std::string& part : split_pairs(text)) {
    const std::size_t equals = part.find('=');
    if (equals == std::string::npos || equals == 0)
      fail(text, "found '" + part + "'; expected OPTION=LIST, e.g. D=16:1024:*2 or kernel=softmax,gaussian");
    SweptOption option = find_option(text, part.substr(0, equals), sweepable, variables);
    const bool words = option.option.ends_with("init");  // "normal:0.02" is no range
    for (const std::string& item : split(part.substr(equals + 1), ',')) {
      if (item.empty()) fail(text, "found an empty value; expected a list such as 16,32 or 16:1024:*2");
      const std::vector<std::string> values =
          words || item.find(':') == std::string::npos ? std::vector<std::string>{item} : range(text, item);
      option.values.insert(option.values.end(), values.begin(), values.end());
    }
    if (option.values.size() != (axis.options.empty() ? option.values : axis.options[0].values).size())
      fail(text, "found " + std::to_string(axis.size()) + " values of " + axis.options[0].name + " and " +
                     std::to_string(option.values.size()) + " of " + option.name +
                     "; options that vary together need equally many");
    axis.options.push_back(std::move(option));
  }
  std::set<std::vector<std::string>> seen;
  for (Index i = 0; i < axis.size(); ++i) {
    std::vector<std::string> point;
    std::string shown;
    for (const SweptOption& option : axis.options) {
      const auto value = parse_number(option.values[i]);
      point.push_back(value ? number(*value, 17) : option.values[i]);
      shown += (shown.empty() ? "" : ", ") + option.name + " = " + option.values[i];
    }
    if (!seen.insert(point).second) fail(text, "found " + shown + " twice; expected different values");
  }
  return axis;
}

std::vector<SweepAxis> parse_axes(const std::vector<std::string>& texts,
                                  const po::options_description& sweepable,
                                  const std::vector<std::string>& variables) {
  std::vector<SweepAxis> axes;
  std::set<std::string> seen;
  for (const std::string& text : texts) {
    axes.push_back(parse_axis(text, sweepable, variables));
    for (const SweptOption& option : axes.back().options)
      if (!seen.insert(option.long_name()).second)
        fail(text, "found " + option.name + " twice; expected every option in one axis only");
  }
  return axes;
}

}  // namespace basin::tools
