#include "common/command/numbers.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <sstream>

namespace basin::tools {

std::string number(double value, int digits) {
  std::ostringstream out;
  out.precision(digits);
  out << value;
  return out.str();
}

std::string percent(double share) {
  return number(100 * share, 3) + " %";
}

namespace {

/// The positive value, moved by `units` of the last of so many digits.
double moved(double value, int digits, int units) {
  return value + units * std::pow(10.0, std::floor(std::log10(value)) - digits + 1);
}

}  // namespace

std::string number_below(double value, int digits) {
  if (value < 0) {
    const std::string above = number_above(-value, digits);
    return above == "0" ? above : "-" + above;
  }
  const std::string nearest = number(value, digits);
  const bool fits = !(value > 0) || !std::isfinite(value) || std::strtod(nearest.c_str(), nullptr) <= value;
  return fits ? nearest : number(moved(value, digits, -1), digits);
}

std::string number_above(double value, int digits) {
  if (value < 0) {
    const std::string below = number_below(-value, digits);
    return below == "0" ? below : "-" + below;
  }
  const std::string nearest = number(value, digits);
  const bool fits = !(value > 0) || !std::isfinite(value) || std::strtod(nearest.c_str(), nullptr) >= value;
  return fits ? nearest : number(moved(value, digits, 1), digits);
}

std::string with_error(double value, double error) {
  int digits = 10;
  if (const double ratio = std::abs(value) / error; std::isfinite(ratio) && ratio > 0)
    digits = std::clamp(static_cast<int>(std::ceil(std::log10(ratio))) + 2, 6, 17);
  const std::string text = number(value, digits);
  // What is cut off the value is part of the error.
  return text + " +- " + number_above(error + std::abs(std::strtod(text.c_str(), nullptr) - value), 2);
}

}  // namespace basin::tools
