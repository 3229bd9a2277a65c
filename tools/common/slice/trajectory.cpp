#include "common/slice/trajectory.h"

#include <algorithm>
#include <cmath>

#include "basin/hdf5/result_file.h"
#include "basin/linalg/errors.h"
#include "basin/model/evaluator.h"
#include "basin/model/point_losses.h"
#include "basin/network/architecture_json.h"
#include "basin/problem/encoding.h"

namespace basin::tools {
namespace {

/// Of a result of basin-train: the kernel, the sizes, and the data by the loss of the first point.
void check_problem(const hdf5::Reader& file, const Setup& setup, const Trajectory& trajectory) {
  const auto refuse = [&](const std::string& what, const std::string& found, const std::string& expected) {
    throw InputError(file.path() + ": the trajectory of another problem: " + what + " " + found +
                     "; expected " + expected);
  };
  const auto same = [&](const char* name, double expected) {
    const double found = file.read_number(std::string("/entry/model/") + name);
    if (found != expected) refuse(name + std::string(" ="), number(found, 10), number(expected, 10));
  };
  const auto layer = setup.single_attention();
  if (layer.has_value() != file.has("/entry/model/kernel"))
    refuse("network", "of other layers", setup.text());
  if (layer) {
    const std::string kernel = file.read_string("/entry/model/kernel");
    if (kernel != kernel_name(layer->kernel)) refuse("kernel", shortened(kernel), kernel_name(layer->kernel));
    if (layer->kernel == KernelKind::gaussian) same("bandwidth", layer->sigma());
  } else if (file.read_string("/entry/model/architecture") != to_json(setup.architecture())) {
    refuse("network", "with another /entry/model/architecture", "that of " + setup.input);
  }
  same("N", static_cast<double>(setup.point.data->samples));
  same("n", static_cast<double>(setup.inputs().tokens));
  // Checksums of the files would refuse the end of the run, which has the same data in another file.
  const Vector<double> steps = file.read_numbers("/entry/run/step", {hdf5::kAnySize}).values;
  const Vector<double> losses = file.read_numbers("/entry/run/loss", {steps.size()}).values;
  for (Index t = 0; t < steps.size(); ++t) {
    if (steps[t] != trajectory.step[0]) continue;
    const double here = LossEvaluator<double>(setup.point)(trajectory.weights.col(0));
    if (!(std::abs(here - losses[t]) <= 1e-6 * std::abs(here)))
      refuse("its first point has the loss", number(losses[t], 10),
             number(here, 10) + ", its loss with these data");
    return;
  }
  file.refuse("/entry/run/step",
              "has no record of step " + number(trajectory.step[0], 17) + ", the first of /trajectory/step");
}

/// Where the 2020 scripts look for the path.
void link_path(hdf5::Writer& file) {
  for (const char* name : {"/proj_xcoord", "/proj_ycoord"})
    file.hard_link(std::string("/entry/trajectory") + name, name);
}

}  // namespace

Vector<double> over_all_blocks(const Setup& setup, const Vector<double>& direction) {
  Vector<double> all = Vector<double>::Zero(setup.point.weights.size());
  setup.parameters().insert(direction, all);
  return all;
}

Trajectory read_trajectory(const hdf5::Reader& file, const Setup& setup) {
  const std::string& path = file.path();
  for (const auto& [name, expected] : setup.sizes())
    if (const auto found =
            file.has("/trajectory") ? file.number_attribute("/trajectory", name) : std::nullopt;
        found && *found != static_cast<double>(expected))
      throw InputError(path + ": the trajectory of another model: " + std::string(name) + " = " +
                       number(*found) + "; expected " + std::to_string(expected));
  const hdf5::Array theta = file.read_array("/trajectory/theta", 2);
  if (theta.shape[1] != setup.point.weights.size() || theta.shape[0] < 1)
    throw InputError(path + ": the trajectory of another model: /trajectory/theta has shape " +
                     hdf5::text(theta.shape) + "; expected (T, " +
                     std::to_string(setup.point.weights.size()) + "), all blocks");
  Trajectory trajectory;
  trajectory.weights = Eigen::Map<const Vectors<double>>(theta.values.data(), theta.shape[1], theta.shape[0]);
  trajectory.step = file.read_numbers("/trajectory/step", {theta.shape[0]}).values;
  if (!trajectory.step.allFinite())
    file.refuse("/trajectory/step", "found NaN or infinity; expected finite numbers");
  if (file.string_attribute("/", "basin_tool") == "basin-train") check_problem(file, setup, trajectory);
  return trajectory;
}

PathOnPlane path_on_plane(const Setup& setup, const Vector<double>& u, const Vector<double>& v,
                          const Trajectory& trajectory, std::size_t memory) {
  PathOnPlane path{trajectory.step, Vector<double>(trajectory.step.size()),
                   project_path(trajectory.weights, setup.point.weights, over_all_blocks(setup, u),
                                over_all_blocks(setup, v))};
  path.loss = PointLosses(setup.point, ForwardPass<double>(setup.point), memory)
                  .at(path.step.size(),
                      [&](Index t, Vector<double>& weights) { weights = trajectory.weights.col(t); })
                  .losses;
  return path;
}

void write_path(hdf5::Writer& file, const PathOnPlane& path) {
  const std::string group = "/entry/trajectory/";
  hdf5::make_plot(file, "/entry/trajectory", "loss", {"step"});
  if (hdf5::wants_logarithm({path.loss.begin(), path.loss.end()}))
    hdf5::curve_scales(file, "/entry/trajectory", "log");
  file.write(group + "step", path.step);
  file.write(group + "loss", path.loss);
  file.write(group + "proj_xcoord", path.projected.x);
  file.write(group + "proj_ycoord", path.projected.y);
  link_path(file);
  file.write("/explained_variance_ratio_",
             std::vector<double>{path.projected.u_share, path.projected.v_share});
  file.write(group + "distance", path.projected.distance);
  file.write(group + "variance_share", path.projected.variance_share);
  file.write(group + "title", std::string("loss along the path of a training run"));
}

void copy_path(hdf5::Writer& file, const hdf5::Reader& from) {
  for (const char* name : {"/entry/trajectory", "/explained_variance_ratio_"}) file.copy(from, name);
  link_path(file);
}

}  // namespace basin::tools
