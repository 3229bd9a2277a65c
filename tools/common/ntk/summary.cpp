#include "common/ntk/summary.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <functional>
#include <limits>
#include <utility>
#include <vector>

namespace basin::tools {
namespace {

/// Whether all that is known of an eigenvalue is that it underflows.
bool underflows(double upper) {
  return upper <= std::numeric_limits<double>::min();
}

std::string largest(const KernelMinimum& k) {
  if (underflows(k.largest_upper)) return ", lambda_max = 0 to rounding";
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
  if (!k.positive()) return underflows(k.upper) ? "lambda_min = 0 to rounding" : "0 <= lambda_min" + upper;
  return text_below(k.lower_bound(), 4) + " <= lambda_min" + upper +
         (k.proven_by_conditions ? ", the lower bound by conditions" : "");
}

/// What double precision makes of a smallest eigenvalue that is not certainly above rounding.
std::string below_rounding(const KernelMinimum& k) {
  const double certain = std::max(kEps * k.largest_lower, std::numeric_limits<double>::min());
  return k.upper <= certain ? "; below rounding of lambda_max, gradient descent in double precision "
                              "cannot see it"
         : k.positive()     ? "; whether it is above rounding of lambda_max is not decided"
                            : "";
}

/// "H d >= N n fails (24 < 32)", "23 parameters would be needed, there are 8"
std::string failure(const Condition& c) {
  const std::string measured = number(c.measured, 10), threshold = number(c.threshold, 10);
  return c.counted.empty() ? c.statement + " fails (" + measured + " < " + threshold + ")"
                           : threshold + " " + c.counted + " would be needed, there are " + measured;
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
  if (c.upper_bound == 0) return "";  // the verdict says it
  if (const Condition* obstacle = c.refuted() ? c.refutation() : c.obstacle())
    return (c.refuted() ? "why: " : "not shown by conditions: to rounding, ") + failure(*obstacle) +
           "; it takes " + obstacle->remedy;
  if (const Below bound = c.lower_bound(); kernel.minimum.positive() && bound.positive())
    return "proven by conditions, too: lambda_min >= " + text_below(bound, 4) +
           (kernel.minimum.known_to(0.1)
                ? " (" + number(100 * bound.value / kernel.minimum.lambda_min, 3) + " % of it)"
                : "");
  for (const Condition& condition : c.conditions)
    if (!condition.holds()) return "not proven by conditions alone: " + failure(condition);
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
  if (k.largest_upper == 0) return "zero: the outputs do not depend on it, whatever the weights";
  return "singular" +
         (k.parameters < k.size ? ", having only " + std::to_string(k.parameters) + " parameters"
                                : std::string()) +
         ": rank " + (k.rank < 0 || k.rank >= k.size ? "less than" : std::to_string(k.rank) + " of") + " " +
         std::to_string(k.size) + ", lambda_min = 0" + largest(k);
}

namespace {

constexpr std::size_t kMostInLines = 12;

/// The first kernels and the last, the sum; between them what is left out.
void for_each_said(Command& command, std::size_t kernels, const std::string& table,
                   const std::function<void(std::size_t)>& say) {
  const std::size_t others = kernels - 1;
  for (std::size_t k = 0; k < std::min(others, kMostInLines); ++k) say(k);
  if (others > kMostInLines)
    command.say("  and " + std::to_string(others - kMostInLines) + " more in the file, /entry/" + table);
  say(others);
}

/// A smallest eigenvalue beside those of others: "1.83", "at least 0.2 (in theory only)".
std::string short_text(const KernelMinimum& m) {
  const std::string in_theory = m.positive_definite() ? "" : " (in theory only)";
  if (m.known_to(0.1)) return number(m.lambda_min, 4) + in_theory;
  if (m.positive()) return "at least " + text_below(m.lower_bound(), 4) + in_theory;
  return std::isfinite(m.upper) ? "at most " + number(m.upper, 3) : "not known";
}

}  // namespace

void say_comparison(Command& command, const std::vector<KernelAnalysis>& here,
                    const std::vector<KernelAnalysis>& there, const std::string& ours,
                    const std::string& theirs) {
  const auto one = [](const KernelMinimum& m, const std::string& kernel) {
    return (m.upper == 0 ? "singular" : "lambda_min " + short_text(m)) + " (" + kernel + ")";
  };
  for_each_said(command, here.size(), "compared_" + theirs, [&](std::size_t k) {
    const KernelMinimum &a = here[k].minimum, &b = there[k].minimum;
    command.say(
        "  " + a.name + ": " + one(a, ours) + ", " + one(b, theirs) +
        (a.known_to(0.1) && b.known_to(0.1) ? ", ratio " + number(a.lambda_min / b.lambda_min, 4) : ""));
  });
}

void say_kernels(Command& command, const std::vector<KernelAnalysis>& kernels, const std::string& of,
                 const std::string& on, bool reasons) {
  const KernelAnalysis& sum = kernels.back();
  command.say(of + " is " + verdict(sum.minimum));
  if (!on.empty()) command.say("  " + on);
  if (const std::string why = reason(sum); !why.empty()) command.say("  " + why);
  for_each_said(command, kernels.size(), "summary", [&](std::size_t k) {
    const KernelMinimum& m = kernels[k].minimum;
    if (k + 1 == kernels.size()) return;
    command.say("  " + m.name + " alone: " + verdict(m));
    const Condition* why_singular = kernels[k].conditions.refutation();
    const bool said = m.parameters < m.size && why_singular != nullptr && !why_singular->counted.empty() &&
                      why_singular->name == "parameters";  // by the verdict
    const bool unsaid = m.upper == 0 && m.parameters >= m.size;
    if (const std::string why = reason(kernels[k]); (unsaid || (reasons && !said)) && !why.empty())
      command.say("    " + why);
  });
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

}  // namespace basin::tools
