#include "common/sweep/plan.h"

#include <algorithm>

#include "basin/linalg/errors.h"
#include "basin/linalg/random.h"
#include "basin/linalg/words.h"
#include "common/sweep/source.h"

namespace basin::tools {

Index SweepPlan::cells() const {
  Index count = 1;
  for (const SweepAxis& axis : axes) count *= axis.size();
  return count;
}

double SweepPlan::size() const {
  auto count = static_cast<double>(repeats);
  for (const SweepAxis& axis : axes) count *= static_cast<double>(axis.size());
  return count;
}

std::vector<Index> SweepPlan::shape() const {
  std::vector<Index> shape;
  for (const SweepAxis& axis : axes) shape.push_back(axis.size());
  shape.push_back(repeats);
  return shape;
}

Index SweepPlan::place(Index cell, std::size_t axis) const {
  for (std::size_t a = axes.size(); --a > axis;) cell /= axes[a].size();
  return cell % axes[axis].size();
}

std::vector<std::pair<std::string, std::string>> SweepPlan::settings(Index cell) const {
  std::vector<std::pair<std::string, std::string>> settings;
  for (std::size_t a = 0; a < axes.size(); ++a)
    for (const SweptOption& option : axes[a].options) settings.push_back(option.setting(place(cell, a)));
  return settings;
}

std::string SweepPlan::cell_text(Index cell) const {
  std::string text;
  for (std::size_t a = 0; a < axes.size(); ++a)
    for (const SweptOption& option : axes[a].options)
      text += (text.empty() ? "" : ", ") + option.name + " = " + option.values.at(place(cell, a));
  return text;
}

std::uint64_t SweepPlan::seed(Index draw) const {
  auto named = settings(draw / repeats);
  std::sort(named.begin(), named.end());
  std::string text = "basin-sweep seed=" + std::to_string(base_seed);
  for (const auto& [option, value] : named) text.append(" ").append(option).append("=").append(value);
  return fnv1a(text + " repeat=" + std::to_string(draw % repeats));
}

Specification SweepPlan::specification() const {
  const bool texts = kind == "teacher" || kind == "text";
  Specification all = {{"version", program_version},
                       {"format", format_version},
                       {"kind", kind},
                       {texts ? "folder" : "input", input},
                       {texts ? "reviews" : "checksum", input_sha256},
                       {"seed", std::to_string(base_seed)},
                       {"repeats", std::to_string(repeats)}};
  for (std::size_t a = 0; a < axes.size(); ++a)
    all.emplace_back("axis " + std::to_string(a + 1), axes[a].text());
  for (const auto& [name, value] : fixed) all.emplace_back("option " + name, value);
  for (const auto& [name, value] : measures) all.emplace_back("measure " + name, value);
  for (const Quantity& quantity : quantities)
    all.emplace_back("quantity " + quantity.name, quantity.is_verdict ? "verdict" : "number");
  return all;
}

SweepPlan SweepPlan::from_specification(const Specification& specification) {
  SweepPlan plan;
  std::vector<std::string> axes;
  const auto after = [](const std::string& name, const std::string& prefix) {
    return name.rfind(prefix, 0) == 0 ? name.substr(prefix.size()) : "";
  };
  for (const auto& [name, value] : specification) {
    if (name == "version") plan.program_version = value;
    if (name == "format") plan.format_version = value;
    if (name == "kind") plan.kind = value;
    if (name == "folder" || name == "input") plan.input = value;
    if (name == "reviews" || name == "checksum") plan.input_sha256 = value;
    if (name == "seed") plan.base_seed = whole_number(name, value);
    if (name == "repeats")
      plan.repeats =
          static_cast<Index>(std::min<std::uint64_t>(whole_number(name, value), hdf5::kLargestIndex));
    if (!after(name, "axis ").empty()) axes.push_back(value);
    if (const auto option = after(name, "option "); !option.empty()) plan.fixed.emplace_back(option, value);
    if (const auto measure = after(name, "measure "); !measure.empty())
      plan.measures.emplace_back(measure, value);
    if (const auto quantity = after(name, "quantity "); !quantity.empty())
      plan.quantities.push_back({quantity, 0, value == "verdict"});
  }
  const std::vector<std::string> kinds = sweep_kinds();
  if (std::find(kinds.begin(), kinds.end(), plan.kind) == kinds.end())
    throw InputError("unknown kind " + shown(plan.kind));
  plan.axes = parse_axes(axes, sweepable_options(plan.kind));
  if (plan.repeats < 1 || plan.size() > kMostDraws)
    throw InputError("found " + number(plan.size()) + " draws; expected 1 to " + number(kMostDraws));
  return plan;
}

}  // namespace basin::tools
