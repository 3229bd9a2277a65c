#include "common/sweep/summary.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <functional>

#include "basin/ntk/trained_kernel.h"

namespace basin::tools {
namespace {

constexpr Index kMostRows = 20, kMostColumns = 8;
constexpr std::size_t kMostLines = 10;
constexpr const char *kAbove = "stays at 1/2 or above", *kBelow = "stays below 1/2";

constexpr const char* kCentred = "centred/";

/// What a verdict is about: "W_Q" of "W_Q/positive_definite".
std::string subject(const std::string& name) {
  return name.substr(0, name.rfind('/'));
}

/// labelled: whether some kernels are of logit differences, so that others are told from them.
std::string subject_text(const std::string& subject, bool labelled) {
  if (subject == "certificate") return subject;
  if (subject == "hessian") return "Hessian:";
  if (subject == "training") return "descent:";
  const bool centred = subject.starts_with(kCentred);
  const std::string kernel = subject.substr(centred ? std::string(kCentred).size() : 0);
  const bool sum = kernel == "sum";
  return (sum ? "NTK of the trained blocks" : kernel + " alone") +
         (centred    ? on_rows(KernelRows::centred)
          : labelled ? " on the logits themselves"
                     : "") +
         (sum && !labelled ? "" : ":");
}

/// "positive definite" of "W_Q/positive_definite"; conditions keep their names.
std::string verdict_text(const std::string& name) {
  const std::string what = name.substr(name.rfind('/') + 1);
  return what == "positive_definite"      ? "positive definite"
         : what == "in_theory_only"       ? "in theory only"
         : what == "negative_curvature"   ? "negative curvature for certain"
         : what == "reaches_minimum"      ? "reaches the global minimum"
         : what == "all_margins_positive" ? "ends with every row in its class"
                                          : what;
}

std::string share_text(double share) {
  if (std::isnan(share)) return "-";
  char text[16];
  std::snprintf(text, sizeof text, "%.2f", share);
  return text;
}

/// The words right-justified, two blanks apart, in columns of these widths.
std::string row(const std::vector<std::string>& words, const std::vector<std::size_t>& widths) {
  std::string line;
  for (std::size_t i = 0; i < words.size(); ++i)
    line += std::string(2 + widths[i] - std::min(widths[i], words[i].size()), ' ') + words[i];
  return line;
}

/// Rows of equal length, the first a heading, as lines; long tables without their middle.
std::vector<std::string> table(const std::vector<std::vector<std::string>>& rows) {
  std::vector<std::size_t> widths(rows[0].size(), 0);
  for (const auto& words : rows)
    for (std::size_t i = 0; i < words.size(); ++i) widths[i] = std::max(widths[i], words[i].size());
  std::vector<std::string> lines;
  const auto count = static_cast<Index>(rows.size());
  for (Index i = 0; i < count; ++i) {
    if (count > kMostRows && i == kMostRows / 2) {
      lines.emplace_back("  ...");
      i = count - kMostRows / 2 + 1;
    }
    lines.push_back(row(rows[i], widths));
  }
  return lines;
}

/// "64" or, of options that vary together, "64/2"
std::string point_text(const SweepAxis& axis, Index i) {
  std::string text;
  for (const SweptOption& option : axis.options) text += (text.empty() ? "" : "/") + option.values.at(i);
  return text;
}

std::string axis_text(const SweepAxis& axis) {
  std::string text;
  for (const SweptOption& option : axis.options) text += (text.empty() ? "" : "/") + option.name;
  return text;
}

/// The cells at these places; -1 stands for all.
std::vector<Index> cells_at(const SweepPlan& plan, const std::vector<Index>& places) {
  std::vector<Index> cells;
  for (Index cell = 0; cell < plan.cells(); ++cell) {
    bool there = true;
    for (std::size_t a = 0; a < places.size(); ++a)
      there = there && (places[a] < 0 || plan.place(cell, a) == places[a]);
    if (there) cells.push_back(cell);
  }
  return cells;
}

/// What some cells come to, as words.
using Entries = std::function<std::vector<std::string>(const std::vector<Index>& cells)>;

/// A table along the first axis: of the first entry along the second, if that is short, else of all entries
/// under their headings.
std::vector<std::string> table_along(const SweepPlan& plan, const std::string& what,
                                     const std::vector<std::string>& headings, const Entries& entries) {
  const SweepAxis& first = plan.axes[0];
  const bool columns = plan.axes.size() > 1 && plan.axes[1].size() <= kMostColumns;
  std::vector<Index> places(plan.axes.size(), -1);
  std::vector<std::vector<std::string>> rows(1 + first.size());
  std::string title = what + ", by " + axis_text(first);
  rows[0] = {axis_text(first)};
  if (columns) {
    title += " and " + axis_text(plan.axes[1]);
    for (Index j = 0; j < plan.axes[1].size(); ++j) rows[0].push_back(point_text(plan.axes[1], j));
  } else {
    rows[0].insert(rows[0].end(), headings.begin(), headings.end());
  }
  if (plan.axes.size() > (columns ? 2U : 1U)) title += ", the other axes taken together";
  for (Index i = 0; i < first.size(); ++i) {
    places[0] = i;
    rows[i + 1] = {point_text(first, i)};
    if (columns)
      for (places[1] = 0; places[1] < plan.axes[1].size(); ++places[1])
        rows[i + 1].push_back(entries(cells_at(plan, places)).front());
    else
      for (const std::string& entry : entries(cells_at(plan, places))) rows[i + 1].push_back(entry);
  }
  std::vector<std::string> lines = {title + ":"};
  for (const std::string& line : table(rows)) lines.push_back(line);
  return lines;
}

std::vector<std::string> share_table(const SweepResult& result, std::size_t verdict) {
  const int lambda_min = result.find(subject(result.plan.quantities[verdict].name) + "/lambda_min");
  std::vector<std::string> headings = {"share", "95 % interval"};
  if (lambda_min >= 0) headings.emplace_back("median lambda_min");
  return table_along(result.plan, "share of draws", headings, [&](const std::vector<Index>& cells) {
    const auto share = result.share(verdict, cells);
    std::vector<std::string> entries = {
        share_text(share.value()),
        share_text(share.interval().lower) + " to " + share_text(share.interval().upper)};
    if (lambda_min >= 0) entries.push_back(number(quantile(result.sorted(lambda_min, cells), 0.5), 4));
    return entries;
  });
}

/// A number that is reported besides verdicts.
struct Reported {
  const char *name, *words;
};
constexpr Reported kReported[] = {{"hessian/largest", "largest eigenvalue of the Hessian"},
                                  {"hessian/smallest", "smallest eigenvalue of the Hessian"},
                                  {"negative/share", "share of negative eigenvalues of the Hessian"},
                                  {"training/loss", "loss after descent"}};

double largest_of(const SweepResult& result, const std::string& name) {
  const int q = result.find(name);
  const std::vector<double> all = q < 0 ? std::vector<double>() : result.sorted(q, result.all_cells());
  return all.empty() ? 0 : all.back();
}

/// How sure such a number is, over all draws.
std::string sureness(const SweepResult& result, const std::string& name) {
  if (name.starts_with("hessian/"))
    return "bounded, to within " + number(largest_of(result, name + "_error"), 2);
  if (name != "negative/share") return "computed";
  const std::vector<double> exact = result.sorted(result.find("negative/exact"), result.all_cells());
  const auto counted = std::count(exact.begin(), exact.end(), 1.0);
  if (counted == static_cast<std::ptrdiff_t>(exact.size())) return "counted exactly";
  double widest = 0;
  const auto &lower = result.values[result.find("negative/share_lower")],
             &upper = result.values[result.find("negative/share_upper")];
  for (std::size_t draw = 0; draw < lower.size(); ++draw)
    if (upper[draw] - lower[draw] > widest) widest = upper[draw] - lower[draw];
  return std::string(counted == 0 ? "" : "counted exactly in " + std::to_string(counted) + " draws, else ") +
         "estimated, to within a 95 % interval of width " + number(widest, 2) + " or less";
}

/// Median and quantiles of those that were measured, and where on the grid they are what.
std::vector<std::string> number_lines(const SweepResult& result) {
  std::vector<std::string> lines;
  const auto level = [&](int q, const std::vector<Index>& cells, double p) {
    const std::vector<double> all = result.sorted(q, cells);
    return all.empty() ? std::string("-") : number(quantile(all, p), 4);
  };
  for (const auto& [name, words] : kReported) {
    const int q = result.find(name);
    const std::vector<Index> all = result.all_cells();
    if (q < 0 || result.sorted(q, all).empty()) continue;
    lines.push_back(std::string(words) + ": median " + level(q, all, 0.5) + ", 90 % of draws from " +
                    level(q, all, 0.05) + " to " + level(q, all, 0.95) + " (" + sureness(result, name) + ")");
    if (result.plan.cells() == 1) continue;
    const auto entries = [&, q = q](const std::vector<Index>& cells) {
      return std::vector<std::string>{level(q, cells, 0.5),
                                      level(q, cells, 0.05) + " to " + level(q, cells, 0.95)};
    };
    for (const std::string& line :
         table_along(result.plan, "  medians", {"median", "90 % of draws"}, entries))
      lines.push_back(line);
  }
  return lines;
}

/// Where the share gets from one side of 1/2 to the other along an axis, at the given places on the others.
std::string crossing(const SweepResult& result, std::size_t verdict, std::size_t along,
                     std::vector<Index> places) {
  const SweepAxis& axis = result.plan.axes[along];
  const std::vector<double> numbers = axis.options[0].numbers();
  std::vector<Index> order(axis.size());
  for (Index i = 0; i < axis.size(); ++i) order[i] = i;
  std::sort(order.begin(), order.end(), [&](Index a, Index b) { return numbers[a] < numbers[b]; });
  std::string where;
  Index before = -1;
  bool was_half = false, is_half = false;
  for (const Index i : order) {
    places[along] = i;
    const double share = result.share(verdict, cells_at(result.plan, places)).value();
    if (std::isnan(share)) continue;
    is_half = share >= 0.5;
    if (before >= 0 && is_half != was_half)
      where += (where.empty() ? "" : " and ") + std::string(is_half ? "rises" : "falls") +
               " through 1/2 between " + point_text(axis, before) + " and " + point_text(axis, i);
    before = i;
    was_half = is_half;
  }
  if (where.empty() && before >= 0) where = is_half ? kAbove : kBelow;
  return where;
}

/// What the share does along an axis, and in how many lines of the grid it crosses 1/2.
struct Crossings {
  std::size_t count = 0;
  std::vector<std::string> lines;
};

Crossings crossings_along(const SweepResult& result, std::size_t verdict, std::size_t along) {
  const SweepPlan& plan = result.plan;
  const std::string name = "the share along " + axis_text(plan.axes[along]) + " ";
  const Index grid_lines = plan.cells() / plan.axes[along].size();
  Crossings found;
  Index above = 0, below = 0;
  for (Index cell = 0; cell < plan.cells(); ++cell) {
    if (plan.place(cell, along) != 0) continue;
    std::vector<Index> places;
    std::string at;
    for (std::size_t a = 0; a < plan.axes.size(); ++a) {
      places.push_back(plan.place(cell, a));
      if (a != along)
        at += (at.empty() ? " (" : ", ") + axis_text(plan.axes[a]) + " = " +
              point_text(plan.axes[a], places[a]);
    }
    const std::string where = crossing(result, verdict, along, places);
    above += where == kAbove ? 1 : 0;
    below += where == kBelow ? 1 : 0;
    if (!where.empty() && where != kAbove && where != kBelow)
      found.lines.push_back(name + where + at + (at.empty() ? "" : ")"));
  }
  found.count = found.lines.size();
  if (found.count > kMostLines) {
    const std::string where = crossing(result, verdict, along, std::vector<Index>(plan.axes.size(), -1));
    found.lines = {name + where + " (the other axes taken together)"};
  }
  for (const auto& [count, what] : {std::pair(above, kAbove), std::pair(below, kBelow)})
    if (count > 0)
      found.lines.push_back(name + what +
                            (grid_lines == 1 ? ""
                                             : " in " + std::to_string(count) + " of " +
                                                   std::to_string(grid_lines) + " lines of the grid"));
  return found;
}

/// The same for the numeric axis along which it crosses 1/2 most often.
std::vector<std::string> crossings(const SweepResult& result, std::size_t verdict) {
  Crossings most;
  for (std::size_t along = 0; along < result.plan.axes.size(); ++along) {
    const SweepAxis& axis = result.plan.axes[along];
    if (!axis.options[0].numeric() || axis.size() == 1) continue;
    Crossings found = crossings_along(result, verdict, along);
    if (most.lines.empty() || found.count > most.count) most = std::move(found);
  }
  return most.lines;
}

}  // namespace

int leading_verdict(const SweepResult& result) {
  for (const char* sum : {"centred/sum/positive_definite", "sum/positive_definite"})
    if (const int found = result.find(sum); found >= 0) return found;
  for (std::size_t q = 0; q < result.plan.quantities.size(); ++q)
    if (result.plan.quantities[q].is_verdict) return static_cast<int>(q);
  return -1;
}

std::vector<std::string> summary_lines(const SweepResult& result) {
  const SweepPlan& plan = result.plan;
  std::vector<std::string> lines;
  const int leading = leading_verdict(result);
  const bool labelled = leading >= 0 && plan.quantities[leading].name.starts_with(kCentred);
  const std::vector<Index> all = result.all_cells();
  const auto counts = [&](std::size_t q) {
    const auto share = result.share(q, all);
    return verdict_text(plan.quantities[q].name) + " in " + std::to_string(share.passed) + " of " +
           std::to_string(share.judged) + " draws" +
           (share.judged > 0 ? " (" + number(std::round(100 * share.value()), 3) + " %)" : "");
  };
  if (leading >= 0)
    lines.push_back(subject_text(subject(plan.quantities[leading].name), labelled) + " " + counts(leading));
  // A line for each subject: its first verdict in full, the others as shares.
  std::string last;
  for (std::size_t q = 0; q < plan.quantities.size(); ++q) {
    const Quantity& quantity = plan.quantities[q];
    const auto share = result.share(q, all);
    if (!quantity.is_verdict || share.judged == 0 || static_cast<int>(q) == leading) continue;
    if (subject(quantity.name) == last) {
      lines.back() +=
          ", " + verdict_text(quantity.name) + " " + number(std::round(100 * share.value()), 3) + " %";
      continue;
    }
    last = subject(quantity.name);
    lines.push_back("  " + subject_text(last, labelled) + " " + counts(q));
  }
  if (leading >= 0 && result.done() > 0) {
    for (const std::string& line : share_table(result, leading)) lines.push_back(line);
    for (const std::string& line : crossings(result, leading)) lines.push_back(line);
  }
  for (const std::string& line : number_lines(result)) lines.push_back(line);
  if (const Index failed = result.failed(); failed > 0)
    lines.push_back(std::to_string(failed) + " of " + std::to_string(result.done()) +
                    " draws could not be measured and do not count");
  std::string axes;
  for (const SweepAxis& axis : plan.axes)
    axes += (axes.empty() ? "" : " x ") + std::to_string(axis.size()) + " " + axis_text(axis);
  lines.push_back(axes + ", " + std::to_string(plan.repeats) + " draws each: " +
                  std::to_string(result.done()) + " of " + std::to_string(plan.draws()) + " draws measured");
  return lines;
}

}  // namespace basin::tools
