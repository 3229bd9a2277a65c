#include "common/ntk/summary.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <utility>
#include <vector>

namespace basin::tools {
namespace {

std::string largest(const KernelMinimum& k) {
  if (!std::isfinite(k.lambda_max) || k.largest_lower == 0)  // not known, or underflown
    return std::isfinite(k.largest_upper) ? ", lambda_max <= " + number_above(k.largest_upper, 4) : "";
  const bool enclosed = k.largest_upper - k.largest_lower <= 1e-3 * k.lambda_max;
  return ", lambda_max " +
         (enclosed ? "= " + number(k.lambda_max, 10) : ">= " + number_below(k.largest_lower, 4));
}

/// "lambda_min = 1.83 +- 2e-07", or what is known of it.
std::string smallest(const KernelMinimum& k) {
  if (k.known_to(0.1))
    return "lambda_min = " +
           with_error(k.lambda_min, std::max(k.upper - k.lambda_min, k.lambda_min - k.lower));
  const std::string upper = std::isfinite(k.upper) ? " <= " + number_above(k.upper, 6) : "";
  if (!k.positive()) return "0 <= lambda_min" + upper;
  return text_below(k.lower_bound(), 4) + " <= lambda_min" + upper +
         (k.proven_by_conditions ? ", the lower bound by conditions" : "");
}

/// What double precision makes of a smallest eigenvalue that is not certainly above rounding.
std::string below_rounding(const KernelMinimum& k) {
  return k.upper <= k.rounding() ? "; below rounding of lambda_max, gradient descent in double precision "
                                   "cannot see it"
         : k.positive()          ? "; whether it is above rounding of lambda_max is not decided"
                                 : "";
}

}  // namespace

std::string text_below(const Below& bound, int digits) {
  if (bound.value > 0) return number_below(bound.value, digits);
  const double exponent = std::floor(bound.log10), unit = std::pow(10.0, digits - 1);
  char text[48];
  std::snprintf(text, sizeof text, "%.*ge%.0f", digits,
                std::floor(std::pow(10.0, bound.log10 - exponent) * unit) / unit, exponent);
  return text;
}

std::string reason(const KernelAnalysis& kernel) {
  const KernelConditions& c = kernel.conditions;
  if (const Condition* obstacle = c.refuted() ? c.refutation() : c.obstacle())
    return (c.refuted() ? "cannot be: " : "not shown by conditions: to rounding, ") + obstacle->statement +
           " fails (" + number(obstacle->measured, 10) + " < " + number(obstacle->threshold, 10) +
           "); it takes " + obstacle->remedy;
  if (const Below bound = c.lower_bound(); kernel.minimum.positive() && bound.positive())
    return "must be: the conditions hold, and prove lambda_min >= " + text_below(bound, 4) +
           (kernel.minimum.known_to(0.1)
                ? " (" + number(100 * bound.value / kernel.minimum.lambda_min, 3) + " % of it)"
                : "");
  for (const Condition& condition : c.conditions)
    if (!condition.holds())
      return std::string("not decided by conditions: ") + condition.statement + " fails (" +
             number(condition.measured, 10) + " < " + number(condition.threshold, 10) + "), which would do";
  return "";
}

std::string verdict(const KernelMinimum& k) {
  switch (k.definiteness()) {
    case Definiteness::definite:
      return "positive definite: " + smallest(k) + largest(k) +
             (k.known_to(0.1) ? ", condition number " + number(k.condition_number(), 4) : "");
    case Definiteness::in_theory:
      return "positive definite in theory only: " + smallest(k) + largest(k) + below_rounding(k);
    case Definiteness::undecided:
      if (!std::isfinite(k.upper)) return "not decided: no eigenvalues were computed";
      return "not decided: " +
             (k.rank >= 0 ? "rank at least " + std::to_string(k.rank) + " of " + std::to_string(k.size) + ", "
                          : std::string()) +
             smallest(k) + largest(k) + below_rounding(k);
    case Definiteness::singular:
      break;
  }
  return "singular" +
         (k.parameters < k.size ? ", having only " + std::to_string(k.parameters) + " parameters"
                                : std::string()) +
         ": rank " + (k.rank < 0 || k.rank >= k.size ? "less than" : std::to_string(k.rank) + " of") + " " +
         std::to_string(k.size) + ", lambda_min = 0" + largest(k);
}

std::string short_text(const KernelMinimum& m) {
  const std::string in_theory = m.positive_definite() ? "" : " (in theory only)";
  if (m.known_to(0.1)) return number(m.lambda_min, 4) + in_theory;
  if (m.positive()) return "at least " + text_below(m.lower_bound(), 4) + in_theory;
  return m.upper == 0             ? std::string("singular")
         : std::isfinite(m.upper) ? "at most " + number(m.upper, 3)
                                  : "not known";
}

std::string methods(const NtkAnalysis& found) {
  std::vector<std::pair<std::string, std::string>> names;  // method, kernels
  for (auto kernel = found.kernels.rbegin(); kernel != found.kernels.rend(); ++kernel) {
    const KernelMinimum& k = kernel->minimum;
    const auto known =
        std::find_if(names.begin(), names.end(), [&](const auto& n) { return n.first == k.method; });
    if (known == names.end())
      names.emplace_back(k.method, k.name);
    else
      known->second += "; " + k.name;
  }
  std::string text;
  for (const auto& [method, kernels] : names)
    text += (text.empty() ? "" : ", ") + (method == "none" ? "by conditions alone" : "from " + method) +
            (names.size() == 1 ? "" : " (" + kernels + ")");
  return text;
}

std::string verdict(const Certificate& c, const KernelMinimum& sum) {
  if (c.passes)
    return "gradient descent with step " + number(c.step, 4) +
           " converges to zero loss: proven (within radius " + number(c.radius, 3) +
           "; each step leaves at most " + number(c.rate, 6) + " of f)";
  if (c.sigma_min == 0)
    return std::string("convergence of gradient descent is not proven: ") +
           (sum.positive() ? "the NTK's lambda_min underflows"
                           : "the NTK is not known to be positive definite");
  return "convergence of gradient descent is not proven: |r_0| = " + number(c.residual_norm, 4) +
         " is too large by a factor " + number(1 / c.margin, 4) +
         " (what passes: " + number(c.largest_residual, 3) + ")";
}

void say_kernels(Command& command, const NtkAnalysis& found) {
  command.say("NTK of the trained blocks is " + verdict(found.sum()));
  if (const std::string why = reason(found.kernels.back()); !why.empty()) command.say("  " + why);
  for (std::size_t k = 0; k + 1 < found.kernels.size(); ++k) {
    command.say("  " + found.kernels[k].minimum.name + " alone: " + verdict(found.kernels[k].minimum));
    if (const std::string why = reason(found.kernels[k]); !why.empty()) command.say("    " + why);
  }
}

}  // namespace basin::tools
