#include "basin/ntk/kernel_minimum.h"

#include <algorithm>
#include <cmath>

namespace basin {

Below Below::of(double value) {
  if (!(value > 0)) return {};
  const double log10 = std::log10(value);
  return {value, log10 - 1e-12 * (1 + std::abs(log10))};
}

Below Below::of_log10(double log10) {
  if (std::isinf(log10)) return {};
  const double value = std::pow(10.0, log10) * (1 - 1e-10);
  return {value >= std::numeric_limits<double>::min() ? value : 0, log10};
}

Below operator*(const Below& a, const Below& b) {
  const double value = a.value * b.value;
  // Subnormal numbers may be rounded up by much.
  return {value >= std::numeric_limits<double>::min() ? value : 0, a.log10 + b.log10};
}

std::string to_string(Definiteness definiteness) {
  constexpr const char* kNames[] = {"singular", "not decided", "in theory only", "positive definite"};
  return kNames[static_cast<std::size_t>(definiteness)];
}

double KernelMinimum::rounding() const {
  return std::max(std::numeric_limits<double>::epsilon() * largest_upper, std::numeric_limits<double>::min());
}

Definiteness KernelMinimum::definiteness() const {
  if (upper == 0) return Definiteness::singular;
  if (!positive()) return Definiteness::undecided;
  return lower > rounding() ? Definiteness::definite : Definiteness::in_theory;
}

double KernelMinimum::condition_number() const {
  return lower > 0 ? lambda_max / lambda_min : std::numeric_limits<double>::infinity();
}

KernelMinimum minimum_of(const NtkSpectrum& s) {
  const Index last = s.size() - 1;
  return {s.name,        "singular values of J", s.size(),       s.parameters, s.rank(),  s.lambda_min(),
          s.lower(last), s.upper(last),          s.lambda_max(), s.lower(0),   s.upper(0)};
}

}  // namespace basin
