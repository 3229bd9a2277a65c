/// Numbers as they are printed.
#pragma once

#include <string>

namespace basin::tools {

/// A number with so many significant digits.
std::string number(double value, int digits = 6);
/// The same for bounds: never above, never below the value.
std::string number_below(double value, int digits);
std::string number_above(double value, int digits);
/// 0.123 as "12.3 %".
std::string percent(double share);
/// "2.64998724612 +- 8.2e-10": with as many digits as the error leaves, which is rounded up, with what is cut
/// off the value in it.
std::string with_error(double value, double error);

}  // namespace basin::tools
