#include "common/sweep/file.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <set>

#include "basin/linalg/errors.h"
#include "basin/problem/encoding.h"
#include "common/sweep/measures.h"

namespace basin::tools {
namespace {

/// "sum/lambda_min" -> "sum_lambda_min"
std::string flat(std::string name) {
  std::replace(name.begin(), name.end(), '/', '_');
  return name;
}

/// "sum/lambda_min" -> "lambda_min"
std::string last_part(const std::string& name) {
  return name.substr(name.rfind('/') + 1);
}

hdf5::Extent cell_shape(const SweepPlan& plan) {
  hdf5::Extent shape = plan.shape();
  shape.pop_back();
  return shape;
}

/// In steps of one size upwards, to rounding.
bool equally_spaced(const std::vector<double>& values) {
  const auto last = static_cast<double>(values.size() - 1);
  const double step = (values.back() - values.front()) / last;
  for (std::size_t i = 0; i < values.size(); ++i)
    if (std::abs(values[i] - (values.front() + static_cast<double>(i) * step)) > 1e-9 * step) return false;
  return values.size() > 1 && step > 0;
}

/// Of the axis of a curve.
bool wants_logarithm(const SweptOption& option) {
  if (!option.numeric()) return false;
  const std::vector<double> values = option.numbers();
  return !equally_spaced(values) && *std::min_element(values.begin(), values.end()) > 0;
}

/// The dataset that numbers a swept option's values.
std::string number_of(const SweptOption& option) {
  return option.name + "_number";
}

/// The dataset that places a swept option's values on the axis of a picture. Viewers draw the cells of an
/// image at equal distances, whatever the axis says: there, values at other distances are numbered. A curve
/// is drawn right.
std::string scale_of(const SweptOption& option, bool image) {
  return option.numeric() && (!image || equally_spaced(option.numbers())) ? option.name : number_of(option);
}

void write_axes(hdf5::Writer& file, const SweepPlan& plan) {
  const std::string group = "/entry/axes/";
  file.group("/entry/axes", "NXcollection");
  std::vector<std::string> names;
  for (std::size_t a = 0; a < plan.axes.size(); ++a) {
    names.push_back(plan.axes[a].options[0].name);
    for (const SweptOption& option : plan.axes[a].options) {
      if (option.numeric())
        file.write(group + option.name, option.numbers());
      else
        file.write(group + option.name, option.values, {plan.axes[a].size()});
      std::vector<double> number(option.values.size());
      std::iota(number.begin(), number.end(), 0);
      file.write(group + number_of(option), number);
      file.attribute(group + number_of(option), "long_name", hdf5::legend(option.name, option.values));
      hdf5::name_dimensions(file, "/entry/axes", {option.name, number_of(option)}, {names.back()});
      file.attribute(group + option.name, "option", option.long_name());
      file.attribute(group + option.name, "axis", static_cast<std::int64_t>(a));
    }
  }
  file.attribute("/entry/axes", "axes", names);
}

using Named = std::pair<std::string, std::vector<double>>;

/// An NXdata group of a number per cell, and others beside it. With more than two axes, viewers start with
/// the first two.
void write_plot(hdf5::Writer& file, const SweepPlan& plan, const std::string& group, const std::string& title,
                const Named& signal, const std::vector<Named>& beside, bool logarithmic) {
  const bool image = plan.axes.size() > 1;
  std::vector<std::string> axes, options;
  std::set<std::string> scales;
  for (const SweepAxis& axis : plan.axes) {
    const SweptOption& option = axis.options[0];
    options.push_back(option.name);
    axes.push_back(axis.size() == 1 && image ? "."
                                             : scale_of(option, image));  // nameless if short: see make_plot
    scales.insert(options.back()), scales.insert(axes.back());
  }
  hdf5::make_plot(file, group, signal.first, axes);
  if (image && logarithmic) hdf5::logarithmic_image(file, group);
  if (!image)
    hdf5::curve_scales(file, group, logarithmic ? "log" : "linear",
                       wants_logarithm(plan.axes[0].options[0]) ? "log" : "linear");
  if (axes.size() > 2) {
    std::vector<std::string> slice(axes.size(), "0");
    slice[0] = slice[1] = ".";
    file.attribute(group, "default_slice", slice);
  }
  for (const std::string& scale : scales)
    if (scale != ".") file.hard_link("/entry/axes/" + scale, group + "/" + scale);
  std::vector<std::string> others;
  const auto write = [&](const Named& array) {
    file.write(group + "/" + array.first, array.second.data(), cell_shape(plan));
    hdf5::name_dimensions(file, group, {array.first}, options);
  };
  write(signal);
  for (const Named& array : beside) write(array), others.push_back(array.first);
  if (!others.empty()) file.attribute(group, "auxiliary_signals", others);
  file.write(group + "/title", title);
}

void write_draws(hdf5::Writer& file, const SweepResult& result) {
  const SweepPlan& plan = result.plan;
  const hdf5::Extent shape = plan.shape();
  file.group("/entry/draws", "NXcollection");
  file.write_bytes("/entry/draws/computed", result.computed, shape);
  std::vector<std::uint64_t> seeds;
  for (Index draw = 0; draw < plan.draws(); ++draw) seeds.push_back(plan.seed(draw));
  file.write_unsigned("/entry/draws/seed", seeds, shape);
  for (std::size_t q = 0; q < plan.quantities.size(); ++q) {
    const std::string path = "/entry/draws/" + plan.quantities[q].name;
    file.write(path, result.values[q].data(), shape);
    file.attribute(path, "verdict", static_cast<std::int64_t>(plan.quantities[q].is_verdict ? 1 : 0));
    if (plan.measures.empty()) continue;
    if (const std::string how = certainty(plan.quantities[q].name); !how.empty())
      file.attribute(path, "certainty", how);
  }
}

/// Numbers that have a picture besides the smallest eigenvalues of kernels.
bool has_plot(const std::string& name) {
  return name == "hessian/largest" || name == "hessian/smallest" || name == "negative/share" ||
         name == "training/loss";
}

/// Tables with a number per cell: path under the group -> values.
void write_cells(hdf5::Writer& file, const SweepResult& result) {
  const SweepPlan& plan = result.plan;
  const hdf5::Extent shape = cell_shape(plan);
  file.group("/entry/cells", "NXcollection");
  for (std::size_t q = 0; q < plan.quantities.size(); ++q) {
    const Quantity& quantity = plan.quantities[q];
    const std::string group = "/entry/cells/" + quantity.name + "/";
    const auto table = [&](const std::string& name, const auto& of_cell) {
      std::vector<double> values;
      for (Index cell = 0; cell < plan.cells(); ++cell) values.push_back(of_cell(cell));
      file.write(group + name, values.data(), shape);
      return values;
    };
    if (quantity.is_verdict) {
      const auto share = [&](Index cell) { return result.share(q, {cell}); };
      table("passed", [&](Index cell) { return static_cast<double>(share(cell).passed); });
      table("judged", [&](Index cell) { return static_cast<double>(share(cell).judged); });
      const auto values = table("share", [&](Index cell) { return share(cell).value(); });
      const auto lower = table("share_lower", [&](Index cell) { return share(cell).interval().lower; });
      const auto upper = table("share_upper", [&](Index cell) { return share(cell).interval().upper; });
      write_plot(file, plan, "/entry/" + share_group(quantity.name),
                 "Share of initialisations with " + quantity.name, {"share", values},
                 {{"lower", lower}, {"upper", upper}}, false);
      continue;
    }
    const auto level = [&](double p) {
      return [&, p](Index cell) { return quantile(result.sorted(q, {cell}), p); };
    };
    const auto median = table("median", level(0.5));
    const auto q05 = table("q05", level(0.05)), q25 = table("q25", level(0.25)),
               q75 = table("q75", level(0.75)), q95 = table("q95", level(0.95));
    const std::string& name = quantity.name;
    const bool eigenvalue = last_part(name) == "lambda_min";
    if (eigenvalue || has_plot(name))
      write_plot(file, plan, "/entry/median_" + flat(quantity.name), "Median of " + quantity.name,
                 {"median", median}, {{"q05", q05}, {"q25", q25}, {"q75", q75}, {"q95", q95}},
                 eigenvalue || name == "training/loss");
  }
}

SweepPlan read_plan(const hdf5::Reader& file) {
  const std::string path = "/entry/sweep/specification", text = file.read_string(path);
  try {
    return SweepPlan::from_specification(parse_specification(text));
  } catch (const std::exception& error) {
    throw InputError(file.path() + ": " + path + " is not of a sweep: " + shortened(error.what(), 200));
  }
}

}  // namespace

SweepResult::SweepResult(SweepPlan of)
    : plan(std::move(of)),
      computed(plan.draws(), 0),
      values(plan.quantities.size(), std::vector<double>(plan.draws(), kNaN)) {}

void SweepResult::set(Index draw, const std::vector<double>& of_draw) {
  computed[draw] = 1;
  for (std::size_t q = 0; q < values.size(); ++q) values[q][draw] = of_draw[q];
}

Index SweepResult::done() const {
  return std::count(computed.begin(), computed.end(), 1);
}

Index SweepResult::failed() const {
  Index count = 0;
  for (std::size_t draw = 0; draw < computed.size(); ++draw)
    count += computed[draw] != 0 && std::all_of(values.begin(), values.end(), [&](const auto& quantity) {
               return std::isnan(quantity[draw]);
             });
  return count;
}

std::vector<double> SweepResult::sorted(std::size_t quantity, const std::vector<Index>& cells) const {
  std::vector<double> found;
  for (const Index cell : cells)
    for (Index draw = cell * plan.repeats; draw < (cell + 1) * plan.repeats; ++draw)
      if (!std::isnan(values[quantity][draw])) found.push_back(values[quantity][draw]);
  std::sort(found.begin(), found.end());
  return found;
}

SweepResult::Share SweepResult::share(std::size_t verdict, const std::vector<Index>& cells) const {
  const std::vector<double> judged = sorted(verdict, cells);
  return {static_cast<Index>(std::count(judged.begin(), judged.end(), 1.0)),
          static_cast<Index>(judged.size())};
}

std::vector<Index> SweepResult::all_cells() const {
  std::vector<Index> cells(plan.cells());
  std::iota(cells.begin(), cells.end(), 0);
  return cells;
}

int SweepResult::find(const std::string& quantity) const {
  for (std::size_t q = 0; q < plan.quantities.size(); ++q)
    if (plan.quantities[q].name == quantity) return static_cast<int>(q);
  return -1;
}

std::string share_group(const std::string& verdict) {
  return "share_" + flat(verdict);
}

void write_sweep(hdf5::Writer& file, const SweepResult& result) {
  const SweepPlan& plan = result.plan;
  file.group("/entry/sweep", "NXcollection");
  file.write("/entry/sweep/specification", specification_text(plan.specification()));
  file.write("/entry/sweep/kind", plan.kind);
  file.write("/entry/sweep/repeats", static_cast<std::int64_t>(plan.repeats));
  file.write_unsigned("/entry/sweep/base_seed", plan.base_seed);
  file.group("/entry/sweep/options", "NXcollection");
  for (const auto& [name, value] : plan.fixed) file.write("/entry/sweep/options/" + name, value);
  if (!plan.measures.empty()) file.group("/entry/sweep/measures", "NXcollection");
  for (const auto& [name, value] : plan.measures) file.write("/entry/sweep/measures/" + name, value);
  write_axes(file, plan);
  write_draws(file, result);
  write_cells(file, result);
}

SweepResult read_sweep(const hdf5::Reader& file) {
  hdf5::check_kind(file, "result");
  if (const std::string tool = file.string_attribute("/", "basin_tool"); tool != "basin-sweep")
    throw InputError(file.path() + ": a result of " + (tool.empty() ? "another program" : shortened(tool)) +
                     "; expected one of basin-sweep");
  const SweepPlan plan = read_plan(file);
  const auto draws = [&](const std::string& name) {
    const hdf5::Array array = file.read_numbers("/entry/draws/" + name, plan.shape());
    return std::vector<double>(array.values.begin(), array.values.end());
  };
  const std::vector<double> computed = draws("computed");
  SweepResult result(plan);
  for (std::size_t i = 0; i < computed.size(); ++i) {
    if (computed[i] != 0 && computed[i] != 1)
      file.refuse("/entry/draws/computed", "found " + number(computed[i]) + "; expected 0 or 1 everywhere");
    result.computed[i] = computed[i] != 0 ? 1 : 0;
  }
  for (std::size_t q = 0; q < result.values.size(); ++q) result.values[q] = draws(plan.quantities[q].name);
  for (std::size_t q = 0; q < result.values.size(); ++q)
    for (const double value : result.values[q])
      if (plan.quantities[q].is_verdict && !std::isnan(value) && value != 0 && value != 1)
        file.refuse("/entry/draws/" + plan.quantities[q].name,
                    "found " + number(value) + "; expected 0, 1 or NaN");
  return result;
}

}  // namespace basin::tools
