#include "common/slice/file.h"

#include <algorithm>
#include <cmath>
#include <sstream>

#include "basin/linalg/errors.h"
#include "basin/linalg/statistics.h"
#include "basin/problem/encoding.h"
#include "common/command/command.h"
#include "common/command/words.h"

namespace basin::tools {
namespace {

/// What a quantity is called in plots, and what stands for "not computed" (that of the 2020 scripts where
/// they know the quantity).
struct Known {
  const char *name, *long_name, *group;
  double sentinel;
};
const Known kKnown[] = {
    {"train_loss", "loss f", "surface", -1},
    {"gradient_norm", "|gradient of f|", "gradient_norm", -1},
    {"min_eig", "smallest Hessian eigenvalue", "min_eig", 1},
    {"max_eig", "largest Hessian eigenvalue", "max_eig", -1},
    {"eig_converged", "Hessian eigenvalues converged (1) or not (0)", "eig_converged", -1},
    {"min_ntk", "smallest NTK eigenvalue", "min_ntk", -1},
    {"ntk_definiteness",
     "NTK singular (0), not decided (1), positive in theory only (2) or positive definite (3)",
     "ntk_definiteness", -1},
    {"train_acc", "accuracy (%)", "accuracy", -1}};

const Known& quantity(const std::string& name) {
  for (const Known& k : kKnown)
    if (name == k.name) return k;
  throw std::logic_error("no quantity " + name);
}

/// Of one dimension for a line: with two, the 2020 scripts and the viewers take it for a plane.
hdf5::Extent shape_of(const SliceResult& result) {
  if (result.of_line()) return {result.grid.x.count};
  return {result.grid.y.count, result.grid.x.count};
}

/// The values of a quantity with NaN where they are not computed: viewers would show the sentinel as data.
std::vector<double> known_values(const SliceResult& result, std::size_t q) {
  std::vector<double> values = result.values[q];
  for (std::size_t i = 0; i < values.size(); ++i)
    if (result.computed[i] == 0) values[i] = std::nan("");
  return values;
}

/// For titles: what is missing.
std::string incomplete_text(const SliceResult& result) {
  return result.complete() ? ""
                           : ", incomplete, " + std::to_string(result.done()) + " of " +
                                 std::to_string(result.grid.size()) + " points";
}

/// Quads between points that are computed and finite (line segments along a line, a single row or column), as
/// ParaView reads them: the flat image of the same format aborts VTK 9.1.
void write_vtk(hdf5::Writer& file, const SliceResult& result) {
  const Grid& g = result.grid;
  const std::vector<double>& loss = result.values[0];
  const auto usable = [&](Index i) { return result.computed[i] != 0 && std::isfinite(loss[i]); };
  std::vector<double> points;
  for (Index row = 0; row < g.y.count; ++row)
    for (Index column = 0; column < g.x.count; ++column) {
      const Index i = row * g.x.count + column;
      const double height = usable(i) ? loss[i] : result.center_loss;  // no cell has the point
      points.insert(points.end(), {g.x.at(column), g.y.at(row), height});
    }
  std::vector<std::int64_t> connectivity, offsets = {0};
  std::vector<std::uint8_t> types;
  const auto add_cell = [&](std::uint8_t type, const std::vector<Index>& corners) {
    if (!std::all_of(corners.begin(), corners.end(), usable)) return;
    connectivity.insert(connectivity.end(), corners.begin(), corners.end());
    offsets.push_back(static_cast<std::int64_t>(connectivity.size()));
    types.push_back(type);
  };
  constexpr std::uint8_t kVertex = 1, kLine = 3, kQuad = 9;
  const Index nx = g.x.count, ny = g.y.count;
  if (nx > 1 && ny > 1 && !result.of_lines()) {
    for (Index row = 0; row + 1 < ny; ++row)
      for (Index i = row * nx; i + 1 < (row + 1) * nx; ++i) add_cell(kQuad, {i, i + 1, i + nx + 1, i + nx});
  } else {
    for (Index i = 0; i + 1 < g.size(); ++i)
      if (nx == 1 || (i + 1) % nx != 0) add_cell(kLine, {i, i + 1});
    if (g.size() == 1) add_cell(kVertex, {0});
  }
  const std::string group = "/VTKHDF";
  file.group(group);
  file.attribute(group, "Version", std::vector<std::int64_t>{1, 0});
  file.ascii_attribute(group, "Type", "UnstructuredGrid");
  file.write(group + "/NumberOfPoints", std::vector<std::int64_t>{g.size()});
  file.write(group + "/NumberOfCells", std::vector<std::int64_t>{static_cast<std::int64_t>(types.size())});
  file.write(group + "/NumberOfConnectivityIds",
             std::vector<std::int64_t>{static_cast<std::int64_t>(connectivity.size())});
  file.write(group + "/Points", points.data(), {g.size(), 3});
  file.write(group + "/Connectivity", connectivity);
  file.write(group + "/Offsets", offsets);
  file.write_bytes(group + "/Types", types, {static_cast<Index>(types.size())});
  for (std::size_t q = 0; q < result.quantities.size(); ++q)
    file.write(group + "/PointData/" + result.quantities[q], known_values(result, q));
}

/// The median of the lines at each step, and quantiles: of all lines that are computed there.
void write_bands(hdf5::Writer& file, const SliceResult& result) {
  const std::string group = "/entry/band";
  hdf5::make_plot(file, group, "median", {"xcoordinates"});
  if (hdf5::wants_logarithm(known_values(result, 0))) hdf5::curve_scales(file, group, "log");
  file.attribute(group, "auxiliary_signals", std::vector<std::string>{"q05", "q25", "q75", "q95"});
  file.hard_link("/xcoordinates", group + "/xcoordinates");
  for (const auto& [name, p] : {std::pair<const char*, double>{"median", 0.5},
                                {"q05", 0.05},
                                {"q25", 0.25},
                                {"q75", 0.75},
                                {"q95", 0.95}}) {
    std::vector<double> level;
    for (Index column = 0; column < result.grid.x.count; ++column) {
      std::vector<double> sorted;
      for (Index i = column; i < result.grid.size(); i += result.grid.x.count)
        if (result.computed[i] != 0 && !std::isnan(result.values[0][i]))
          sorted.push_back(result.values[0][i]);
      std::sort(sorted.begin(), sorted.end());
      level.push_back(quantile(sorted, p));
    }
    file.write(group + "/" + name, level);
    hdf5::name_dimensions(file, group, {name}, {"xcoordinates"});
  }
  file.write(group + "/title", "loss along random lines: median and quantiles" + incomplete_text(result));
}

}  // namespace

std::string place_text(const SliceResult& result) {
  return result.of_lines()  ? "along random lines"
         : result.of_line() ? "on a line through the point"
                            : "on a plane through the point";
}

SliceResult::SliceResult(Specification of, const Grid& on, std::vector<std::string> names)
    : specification(std::move(of)),
      grid(on),
      quantities(std::move(names)),
      computed(static_cast<std::size_t>(grid.size()), 0) {
  for (const std::string& name : quantities) values.emplace_back(grid.size(), quantity(name).sentinel);
}

bool SliceResult::of_lines() const {
  return !specified(specification, "lines").empty();
}

bool SliceResult::of_line() const {
  return !of_lines() && specified(specification, "v").rfind("none,", 0) == 0;
}

void SliceResult::set(const Piece& piece, const std::vector<double>& of_piece) {
  for (Index j = 0; j < piece.count; ++j) {
    const Index i = piece.row * grid.x.count + piece.first + j;
    computed[i] = 1;
    for (std::size_t q = 0; q < values.size(); ++q)
      values[q][i] = of_piece[q * kLongestPiece + static_cast<std::size_t>(j)];
  }
}

Index SliceResult::done() const {
  return std::count(computed.begin(), computed.end(), 1);
}

void write_slice(hdf5::Writer& file, const SliceResult& result) {
  const hdf5::Extent shape = shape_of(result);
  const bool row = shape.size() == 2 && result.grid.y.count == 1, column = result.grid.x.count == 1;
  std::vector<std::string> axes = {shape.size() == 2 && column ? "." : "xcoordinates"};  // see make_plot
  file.write("/xcoordinates", result.grid.x.values());
  file.attribute("/xcoordinates", "long_name", std::string("step a along u"));
  file.attribute("/xcoordinates", "units", std::string("u"));  // other than b's: else h5web draws to scale
  if (!result.of_line()) {
    axes.insert(axes.begin(), row ? "." : "ycoordinates");
    file.write("/ycoordinates", result.grid.y.values());
    file.attribute("/ycoordinates", "long_name", std::string(result.of_lines() ? "line" : "step b along v"));
    file.attribute("/ycoordinates", "units", std::string(result.of_lines() ? "line" : "v"));
  }
  std::vector<std::string> scales = {"/xcoordinates"};
  if (!result.of_line()) scales.insert(scales.begin(), "/ycoordinates");
  file.write_bytes("/computed", result.computed, shape);
  file.dimensions("/computed", scales);
  if (std::count(result.quantities.begin(), result.quantities.end(), "train_acc") == 0) {
    const std::vector<double> none(result.grid.size(), std::nan(""));
    file.write("/train_acc", none.data(), shape);  // the 2020 scripts ask for it
    file.dimensions("/train_acc", scales);
  }
  file.write("/dir_file", file.path());
  for (std::size_t q = 0; q < result.quantities.size(); ++q) {
    const Known& k = quantity(result.quantities[q]);
    const std::string name = k.name, group = std::string("/entry/") + k.group;
    const std::vector<double> known = known_values(result, q);
    const auto write = [&](const std::string& path, const std::vector<double>& values) {
      file.write(path, values.data(), shape);
      file.dimensions(path, scales);
      file.attribute(path, "long_name", std::string(k.long_name));
      file.attribute(path, "interpretation", std::string(result.of_line() ? "spectrum" : "image"));
    };
    write("/" + name, result.values[q]);
    hdf5::make_plot(file, group, name, axes);
    if (hdf5::wants_logarithm(known))
      result.of_line() ? hdf5::curve_scales(file, group, "log") : hdf5::logarithmic_image(file, group);
    if (result.complete())
      file.hard_link("/" + name, group + "/" + name);
    else
      write(group + "/" + name, known);
    for (const std::string& axis : axes)
      if (axis != ".") file.hard_link("/" + axis, group + "/" + axis);
    file.write(group + "/title",
               std::string(k.long_name) + " " + place_text(result) + incomplete_text(result));
  }
  file.write("/entry/center_loss", result.center_loss);
  if (!result.ntk_rows().empty()) file.write("/entry/ntk_rows", result.ntk_rows());
  if (result.of_lines()) write_bands(file, result);
  write_vtk(file, result);
  file.group("/entry/slice", "NXcollection");
  file.write("/entry/slice/specification", specification_text(result.specification));
  file.write("/entry/slice/complete", static_cast<std::int64_t>(result.complete() ? 1 : 0));
  file.write("/entry/slice/points_done", static_cast<std::int64_t>(result.done()));
}

SliceResult read_slice(const hdf5::Reader& file) {
  hdf5::check_kind(file, "result");
  if (const std::string tool = file.string_attribute("/", "basin_tool"); tool != "basin-slice")
    throw InputError(file.path() + ": a result of " + (tool.empty() ? "another program" : shortened(tool)) +
                     "; expected one of basin-slice");
  const std::string path = "/entry/slice/specification";
  const Specification specification = parse_specification(file.read_string(path));
  Grid grid;
  std::vector<std::string> names;
  try {
    grid = {parse_axis("x", specified(specification, "x")), parse_axis("y", specified(specification, "y"))};
    std::istringstream list(specified(specification, "quantities"));
    for (std::string name; std::getline(list, name, ',');) names.emplace_back(quantity(name).name);
  } catch (const std::exception& error) {
    throw InputError(file.path() + ": " + path + " is not of a slice: " + shortened(error.what(), 200));
  }
  if (names.empty() || names[0] != kKnown[0].name)
    file.refuse(path, "is not of a slice: the first quantity is not " + std::string(kKnown[0].name));
  const double points = static_cast<double>(grid.x.count) * static_cast<double>(grid.y.count);
  if (points > kMostPoints)
    file.refuse(path,
                "found a grid of " + number(points) + " points; expected at most " + number(kMostPoints));
  SliceResult result(specification, grid, names);
  const auto read = [&](const std::string& name) {
    const hdf5::Array array = file.read_numbers("/" + name, shape_of(result));
    return std::vector<double>(array.values.begin(), array.values.end());
  };
  const std::vector<double> computed = read("computed");
  for (std::size_t i = 0; i < computed.size(); ++i) {
    if (computed[i] != 0 && computed[i] != 1)
      file.refuse("/computed", "found " + number(computed[i]) + "; expected 0 or 1 everywhere");
    result.computed[i] = computed[i] != 0 ? 1 : 0;
  }
  for (std::size_t q = 0; q < names.size(); ++q) result.values[q] = read(names[q]);
  result.center_loss = file.read_finite("/entry/center_loss");
  return result;
}

std::string axis_text(const Axis& axis) {
  return number(axis.min, 17) + ":" + number(axis.max, 17) + ":" + std::to_string(axis.count);
}

Axis parse_axis(const std::string& option, const std::string& text) {
  const auto words = split(text, ':');
  const auto number_at = [&](std::size_t i) {
    return (i < words.size() ? parse_number(words[i]) : std::nullopt).value_or(std::nan(""));
  };
  const double min = number_at(0), max = number_at(1);
  const Index count = parse_index(words.back()).value_or(0);
  if (words.size() != 3 || count < 1 || !std::isfinite(max - min) || !(count == 1 ? min == max : min < max))
    throw InputError("--" + option + " " + text +
                     ": expected MIN:MAX:COUNT with MIN < MAX and COUNT >= 2 (or MIN = MAX and COUNT = 1)");
  return {min, max, count};
}

std::string specified(const Specification& specification, const std::string& name) {
  for (const auto& [key, value] : specification)
    if (key == name) return value;
  return "";
}

}  // namespace basin::tools
