#include "common/slice_trajectory.h"

#include "linalg/errors.h"
#include "model/evaluator.h"

namespace basin::tools {

Trajectory read_trajectory(const std::string& path, const Setup& setup) {
  const hdf5::Reader file(path);
  const AttentionSpec& s = setup.description.spec;
  for (const auto& [name, expected] : {std::pair<const char*, Index>{"H", s.heads},
                                       {"d", s.head_dim},
                                       {"D", s.embedding},
                                       {"D_out", s.outputs}})
    if (const auto found =
            file.has("/trajectory") ? file.number_attribute("/trajectory", name) : std::nullopt;
        found && *found != static_cast<double>(expected))
      throw InputError(path + ": the trajectory of another model: " + name + " = " + number(*found) +
                       "; expected " + std::to_string(expected));
  const hdf5::Array theta = file.read_array("/trajectory/theta", 2);
  if (theta.shape[1] != setup.weights.size() || theta.shape[0] < 1)
    throw InputError(path + ": the trajectory of another model: /trajectory/theta has shape " +
                     hdf5::text(theta.shape) + "; expected (T, " + std::to_string(setup.weights.size()) +
                     "), all blocks");
  Trajectory trajectory;
  trajectory.weights = Eigen::Map<const Vectors<double>>(theta.values.data(), theta.shape[1], theta.shape[0]);
  trajectory.step = file.read_numbers("/trajectory/step").values;
  if (trajectory.step.size() != theta.shape[0])
    throw InputError(path + ": /trajectory/step has " + std::to_string(trajectory.step.size()) +
                     " entries; expected " + std::to_string(theta.shape[0]) + ", as /trajectory/theta");
  return trajectory;
}

PathOnPlane path_on_plane(const Setup& setup, const Vector<double>& u, const Vector<double>& v,
                          const Trajectory& trajectory) {
  const auto embed = [&](const Vector<double>& direction) {
    Vector<double> all = Vector<double>::Zero(setup.weights.size());
    setup.parameters().insert(direction, all);
    return all;
  };
  PathOnPlane path{trajectory.step, Vector<double>(trajectory.step.size()),
                   project_path(trajectory.weights, setup.weights, embed(u), embed(v))};
  LossEvaluator<double> loss(setup.model, setup.data);
  for (Index t = 0; t < path.loss.size(); ++t) path.loss[t] = loss(trajectory.weights.col(t));
  return path;
}

void write_path(hdf5::Writer& file, const PathOnPlane& path) {
  const std::string group = "/entry/trajectory/";
  hdf5::make_plot(file, "/entry/trajectory", "loss", {"step"});
  file.write(group + "step", path.step);
  file.write(group + "loss", path.loss);
  file.write(group + "proj_xcoord", path.projected.x);
  file.write(group + "proj_ycoord", path.projected.y);
  // Where the 2020 scripts look for them:
  file.hard_link(group + "proj_xcoord", "/proj_xcoord");
  file.hard_link(group + "proj_ycoord", "/proj_ycoord");
  file.write("/explained_variance_ratio_",
             std::vector<double>{path.projected.u_share, path.projected.v_share});
  file.write(group + "distance", path.projected.distance);
  file.write(group + "variance_share", path.projected.variance_share);
  file.write(group + "title", std::string("loss along the path of a training run"));
}

}  // namespace basin::tools
