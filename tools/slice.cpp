/// basin-slice: the loss on a plane through the point.
#include "landscape/slice.h"

#include <cmath>
#include <sstream>

#include "common/setup.h"
#include "landscape/directions.h"
#include "linalg/errors.h"
#include "model/evaluator.h"

using namespace basin;
using namespace basin::tools;

namespace {

const Introduction kIntroduction = {
    "basin-slice", "losses on a plane through the point, along two random filter-normalised directions",
    "PROBLEM.h5 -o RESULT.h5 [--x MIN:MAX:NX] [--y MIN:MAX:NY] [options]",
    R"(Writes f(theta + a u + b v) for a on the x axis and b on the y axis. u and v have independent normal entries;
every filter (one head and one index along the first axis of a block) is scaled to the norm of the weights'
filter (Li et al., NeurIPS 2018). The point itself is at (0, 0). The result opens in the plot scripts of
tomgoldstein/loss-landscape and in NeXus viewers such as h5web and silx.
)",
    R"(  basin-problem teacher -o problem.h5
  basin-slice problem.h5 -o slice.h5 --x -1:1:51 --y -1:1:51
)"};

/// "-1:1:51" -> 51 equally spaced numbers.
Vector<double> parse_axis(const std::string& option, const std::string& text) {
  std::istringstream in(text);
  double min = 0, max = 0;
  Index count = 0;
  char colon1 = 0, colon2 = 0, rest = 0;
  const bool read = static_cast<bool>(in >> min >> colon1 >> max >> colon2 >> count) && !(in >> rest);
  if (!read || colon1 != ':' || colon2 != ':' || count < 1 || !std::isfinite(max - min) ||
      !(count == 1 ? min == max : min < max))
    throw InputError("--" + option + " " + text +
                     ": expected MIN:MAX:COUNT with MIN < MAX and COUNT >= 2 (or MIN = MAX and COUNT = 1)");
  // Exact at both ends and, for a symmetric range, in the middle.
  Vector<double> axis(count);
  for (Index i = 0; i < count; ++i)
    axis[i] = count == 1 ? min
                         : (min * static_cast<double>(count - 1 - i) + max * static_cast<double>(i)) /
                               static_cast<double>(count - 1);
  return axis;
}

void write_results(hdf5::Writer& file, const Vector<double>& xs, const Vector<double>& ys,
                   const Matrix<double>& losses, const Vector<double>& u, const Vector<double>& v,
                   double center) {
  const hdf5::Extent shape = {ys.size(), xs.size()};
  file.write("/xcoordinates", xs);
  file.write("/ycoordinates", ys);
  file.write("/train_loss", losses.data(), shape);
  const Matrix<double> none = Matrix<double>::Constant(ys.size(), xs.size(), std::nan(""));
  file.write("/train_acc", none.data(), shape);
  file.write_bytes("/computed", std::vector<std::uint8_t>(losses.size(), 1), shape);
  file.write("/dir_file", file.path());
  file.attribute("/xcoordinates", "long_name", std::string("step a along u"));
  file.attribute("/ycoordinates", "long_name", std::string("step b along v"));
  file.attribute("/train_loss", "long_name", std::string("loss f"));
  file.attribute("/train_loss", "interpretation", std::string("image"));

  hdf5::make_plot(file, "/entry/surface", "train_loss", {"ycoordinates", "xcoordinates"});
  for (const std::string name : {"train_loss", "xcoordinates", "ycoordinates"})
    file.hard_link("/" + name, "/entry/surface/" + name);
  file.write("/entry/surface/title", std::string("loss on a plane through the point"));
  file.write("/entry/center_loss", center);
  const std::string group = "/entry/directions";
  file.group(group, "NXcollection");
  file.write(group + "/x", u);
  file.write(group + "/y", v);
  file.write(group + "/x_norm", u.norm());
  file.write(group + "/y_norm", v.norm());
  file.write(group + "/cosine", u.dot(v) / (u.norm() * v.norm()));
  file.write(group + "/normalisation", std::string("filter"));
}

template <class S>
Matrix<double> losses_in(const Setup& setup, const Vector<double>& u, const Vector<double>& v,
                         const Vector<double>& xs, const Vector<double>& ys, const Command& command) {
  const auto [model, data] = setup.in_precision<S>();
  return loss_on_plane<S>(model, setup.weights, data, u, v, xs, ys, command.progress("grid points"));
}

void body(Command& command) {
  command.options.add_options()  //
      ("x", po::value<std::string>()->default_value("-1:1:51")->value_name("MIN:MAX:NX"),
       "steps along the first direction")  //
      ("y", po::value<std::string>()->default_value("-1:1:51")->value_name("MIN:MAX:NY"),
       "steps along the second direction");
  add_model_options(command);
  command.add_precision_option();
  if (!command.parse()) return;
  const Vector<double> xs = parse_axis("x", command.get<std::string>("x"));
  const Vector<double> ys = parse_axis("y", command.get<std::string>("y"));
  const Setup setup = read_setup(command);
  hdf5::Writer file(command.output(), command.get<bool>("overwrite"));

  Random first(command.seed(), "x direction"), second(command.seed(), "y direction");
  const Vector<double> u = random_filter_direction(setup.parameters(), setup.weights, first);
  const Vector<double> v = random_filter_direction(setup.parameters(), setup.weights, second);
  if (u.norm() == 0 || v.norm() == 0)
    throw InputError(setup.input +
                     ": all trained weights are zero, so filter-normalised directions are zero");
  const double center = LossEvaluator<double>(setup.model, setup.data)(setup.weights);
  if (!std::isfinite(center))
    throw WorkError("the loss at the point is not finite: the weights or inputs are too large");
  const bool single = command.single_precision();
  const Matrix<double> losses = single ? losses_in<float>(setup, u, v, xs, ys, command)
                                       : losses_in<double>(setup, u, v, xs, ys, command);

  Index row = 0, column = 0;
  const double lowest =
      losses.unaryExpr([](double f) { return std::isfinite(f) ? f : HUGE_VAL; }).minCoeff(&row, &column);
  const Index lost = losses.unaryExpr([](double f) { return std::isfinite(f) ? 0.0 : 1.0; }).sum();
  command.say(
      "loss at the point f = " + number(center, 10) + "; lowest on the " + std::to_string(xs.size()) + " x " +
      std::to_string(ys.size()) + " grid " + number(lowest, 10) + " at (" + number(xs[column]) + ", " +
      number(ys[row]) + "), highest " +
      number(losses.unaryExpr([](double f) { return std::isfinite(f) ? f : -HUGE_VAL; }).maxCoeff(), 6));
  if (single) command.say("single precision: losses on the grid have about 6 digits");
  if (lost > 0) command.say(std::to_string(lost) + " grid points overflow: the loss there is not finite");
  command.say(setup.text());
  write_results(file, xs, ys, losses, u, v, center);
  write_frame(file, command, setup, kIntroduction.name, "Loss on a plane through the point", "surface");
  file.commit();
}

}  // namespace

int main(int argc, char** argv) {
  return run_tool(kIntroduction, argc, argv, body);
}
