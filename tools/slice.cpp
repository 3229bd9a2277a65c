/// basin-slice: the landscape on lines and planes through the point.
#include <chrono>
#include <cmath>
#include <filesystem>
#include <optional>
#include <sstream>

#include "common/global_minimum.h"
#include "common/run_output.h"
#include "common/slice_directions.h"
#include "common/slice_file.h"
#include "common/slice_quantities.h"
#include "common/slice_summary.h"
#include "linalg/errors.h"

using namespace basin;
using namespace basin::tools;

namespace {

const std::string kName = "basin-slice";

const Introduction kIntroduction = {
    kName, "the loss, and what else is asked for, on a plane or on lines through the point",
    "PROBLEM.h5 -o RESULT.h5 [--x MIN:MAX:NX] [--y MIN:MAX:NY] [options]\n"
    "       basin-slice merge PART1.h5 PART2.h5 ... -o RESULT.h5",
    R"(Writes f(theta + a u + b v) for a on the x axis and b on the y axis. By default u and v are random: independent
normal entries, every filter (one head and one index along the first axis of a block) scaled to the norm of the
weights' filter (Li et al., NeurIPS 2018). The point itself is at (0, 0). The result opens in the plot scripts of
tomgoldstein/loss-landscape, in NeXus viewers such as h5web and silx, and in ParaView.

Finished points are kept in RESULT.h5.journal, and RESULT.h5 itself is renewed as a whole from time to time, marked as
incomplete. A run that was stopped or killed goes on with --resume. --part 2/5 computes the second fifth of the grid,
for instance on another machine; basin-slice merge joins the shares.
)",
    R"(  basin-problem teacher -o problem.h5
  basin-slice problem.h5 -o slice.h5 --x -1:1:51 --y -1:1:51
  basin-slice problem.h5 -o curvature.h5 --u largest --v smallest --quantities eigenvalues --x -1:1:11 --y -1:1:11
)"};

double seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

/// All that makes the slice what it is.
Specification specify(const Command& command, const Setup& setup, const Directions& directions,
                      const Grid& grid, const std::vector<std::string>& quantities, PlaneWay way,
                      const std::string& trajectory_sha256) {
  std::string names;
  for (const std::string& name : quantities) names += (names.empty() ? "" : ",") + name;
  const AttentionSpec layer = setup.spec();
  Specification all = {
      {"version", version()},
      {"format", hdf5::kFormatVersion},
      {"problem", setup.input_sha256},
      {"kernel", kernel_name(layer.kernel)},
      {"bandwidth", layer.kernel == KernelKind::gaussian ? number(layer.sigma(), 17) : "none"},
      {"weights", setup.weights_origin},
      {"heads", std::to_string(layer.heads)},
      {"head-dim", std::to_string(layer.head_dim)},
      {"train", setup.trainable()},
      {"x", axis_text(grid.x)},
      {"y", axis_text(grid.y)},
      {"u", directions.u.origin + ", " + directions.u.normalisation},
      {"v", directions.v.origin + ", " + directions.v.normalisation},
      {"directions", directions.checksum()},
      {"quantities", names},
      {"evaluation", plane_way_name(way)},
      {"seed", std::to_string(command.seed())}};
  if (directions.lines > 1) all.emplace_back("lines", std::to_string(directions.lines));
  if (!trajectory_sha256.empty()) all.emplace_back("trajectory", trajectory_sha256);
  return all;
}

/// The result that is there already, if it is of this very slice: written by the run that is resumed.
std::optional<SliceResult> own_result(const std::string& path, const Specification& specification) {
  try {
    SliceResult there = read_slice(hdf5::Reader(path));
    if (first_difference(there.specification, specification).empty()) return there;
  } catch (const InputError&) {
  }
  return std::nullopt;
}

void slice(int argc, const char* const* argv) {
  Command command(kIntroduction, argc, argv);
  command.options.add_options()  //
      ("x", po::value<std::string>()->default_value("-1:1:51")->value_name("MIN:MAX:NX"),
       "steps a along the first direction")  //
      ("y", po::value<std::string>()->default_value("-1:1:51")->value_name("MIN:MAX:NY"),
       "steps b along the second direction");
  add_direction_options(command);
  command.options.add_options()  //
      ("quantities", po::value<std::string>()->default_value("loss")->value_name("LIST"),
       "what is measured besides the loss: gradient (its norm), eigenvalues (smallest and largest of the "
       "Hessian), ntk (smallest eigenvalue), accuracy (percentage of tokens, for labelled data)")  //
      ("resume", po::bool_switch(), "go on with the journal of a run that did not finish")         //
      ("write-every", po::value<double>()->default_value(30)->value_name("S"),
       "seconds after which the growing result is written anew; 0: after every part of the work");
  command.add_part_option("grid");
  add_model_options(command);
  command.add_memory_option();
  if (!command.parse()) return;
  Grid grid{parse_axis("x", command.get<std::string>("x")), parse_axis("y", command.get<std::string>("y"))};
  const auto quantities = parse_quantities(command.get<std::string>("quantities"));
  const auto [share, shares] = command.part();
  const double write_every = command.get<double>("write-every");
  if (!(write_every >= 0))
    throw InputError("--write-every " + command.text("write-every") +
                     ": expected a number of seconds, 0 or more");

  // The point, the directions and the path.
  const Setup setup = read_setup(command);
  const bool overwrite = command.get<bool>("overwrite"), resume = command.get<bool>("resume");
  const bool there = resume && !overwrite && std::filesystem::exists(command.output());
  check_output(command.output(), overwrite || there);
  std::optional<Trajectory> trajectory;
  std::string trajectory_sha256;
  if (command.given("trajectory")) {
    const hdf5::Reader file(command.get<std::string>("trajectory"));
    trajectory = read_trajectory(file, setup);
    trajectory_sha256 = hdf5::sha256_of(file);
  }
  SliceMeasurement measurement(command, setup, quantities);
  const Directions directions = make_directions(command, setup, trajectory ? &*trajectory : nullptr);
  const Index lines = directions.lines;
  if (lines > 1) grid.y = {1, static_cast<double>(lines), lines};
  if (lines == 1 && directions.v.origin == "none") {
    if (command.given("y")) throw InputError("--y: without effect on a line");
    grid.y = {0, 0, 1};
  }
  const double points = static_cast<double>(grid.x.count) * static_cast<double>(grid.y.count);
  const std::string grid_options = std::string("--x, ") + (lines > 1 ? "--lines" : "--y");
  if (points > kMostPoints)
    throw InputError(grid_options + ": found a grid of " + number(points) + " points; expected at most " +
                     number(kMostPoints));
  // A number for each quantity, and what a viewer needs for a point, while the result is written.
  require_memory(grid_options + ": a grid of " + number(points, 9) + " points",
                 points * (160 + 16 * static_cast<double>(quantities.size())));
  const auto plane_of_line = [&](Index line) {
    const Grid on = lines > 1 ? Grid{grid.x, {0, 0, 1}} : grid;
    return PlaneEvaluator(setup.point, lines > 1 ? directions.line(line) : directions.u.vector,
                          directions.v.vector, on, {.memory = command.memory()});
  };
  std::optional<PathOnPlane> path;
  if (trajectory) path = path_on_plane(setup, directions.u.vector, directions.v.vector, *trajectory);
  Index current_line = 0;
  std::optional<PlaneEvaluator> plane(plane_of_line(0));

  SliceResult result(specify(command, setup, directions, grid, quantities, plane->way(), trajectory_sha256),
                     grid, quantities);
  result.center_loss = measurement.center_loss();
  Specification specification = result.specification;
  specification.emplace_back("part", command.get<std::string>("part"));
  bool mine = overwrite;
  std::optional<SliceResult> found;
  if (there) {
    found = own_result(command.output(), result.specification);
    if (!found)
      throw InputError(
          command.output() +
          ": exists already and is not the result of this run; give another name or --overwrite");
    mine = true;
  }
  Journal journal(journal_of(command.output()), specification, quantities.size() * kLongestPiece, resume);
  if (found && found->complete()) {  // killed before it could delete its journal
    journal.remove();
    return command.message(command.output() + " is finished");
  }
  const std::vector<Piece> pieces = pieces_of(grid);
  for (const auto& [number, values] : journal.records())
    if (number >= 0 && number < static_cast<Index>(pieces.size())) result.set(pieces[number], values);
  if (!journal.records().empty())
    command.message(std::to_string(result.done()) + " points are in the journal");
  if (journal.damaged() > 0)
    command.message(std::to_string(journal.damaged()) +
                    " damaged lines of the journal: their points are repeated");

  const auto write = [&] {
    hdf5::Writer file(command.output(), mine);
    write_slice(file, result);
    write_directions(file, directions);
    if (path) write_path(file, *path);
    write_frame(file, command, setup, kName, "Loss " + place_text(result),
                result.of_lines() ? "band" : "surface");
    file.commit();
    mine = true;
  };

  // Pieces in batches, of one line at a time.
  std::vector<Index> missing;
  for (Index p = share; p < static_cast<Index>(pieces.size()); p += shares)
    if (result.computed[pieces[p].row * grid.x.count + pieces[p].first] == 0) missing.push_back(p);
  const Progress progress = command.progress("pieces of the grid");
  const Index batch = measurement.expensive()                ? 1
                      : plane->way() == PlaneWay::structured ? plane->pieces_at_once()
                      : plane->way() == PlaneWay::plain      ? 4
                                                             : static_cast<Index>(pieces.size());
  const auto in_line = static_cast<Index>(plane->pieces().size());
  double last_write = seconds();
  for (std::size_t done = 0; done < missing.size();) {
    const Index line = lines > 1 ? pieces[missing[done]].row : 0;
    if (line != current_line) plane.emplace(plane_of_line(line)), current_line = line;
    std::vector<Index> numbers, local;
    while (done < missing.size() && static_cast<Index>(numbers.size()) < batch &&
           (lines == 1 || pieces[missing[done]].row == line)) {
      numbers.push_back(missing[done++]);
      local.push_back(numbers.back() - line * in_line);
    }
    const Grid on = lines > 1 ? Grid{grid.x, {0, 0, 1}} : grid;
    const auto measured = measurement.measure(*plane, on, local);
    for (std::size_t i = 0; i < numbers.size(); ++i) {
      journal.append(numbers[i], measured[i]);
      result.set(pieces[numbers[i]], measured[i]);
    }
    report(progress, static_cast<Index>(done), static_cast<Index>(missing.size()));
    if (done < missing.size() && seconds() - last_write >= write_every) {
      write();
      last_write = seconds();
    }
  }

  for (const std::string& line : summary_lines(result)) command.say(line);
  if (const auto known = global_minimum(setup)) command.say("  " + known->text());
  command.say(direction_text("u", directions.u));
  if (lines == 1) {
    command.say(direction_text("v", directions.v));
    if (directions.v.origin != "none") command.say("  cos(u, v) = " + number(directions.cosine(), 4));
  }
  if (path) command.say(trajectory_text(*path));
  command.say(setup.text());
  write();
  journal.remove();
}

void merge(int argc, const char* const* argv) {
  Command command(
      {kName + " merge", "joins the shares that --part made into the whole slice",
       "PART1.h5 PART2.h5 ... -o RESULT.h5",
       "The shares must be of one slice: the same problem, directions, grid, options and version of Basin.\n"
       "Every point must be in exactly one of them. The result is what one run would have written.\n",
       "  basin-slice merge part1.h5 part2.h5 -o slice.h5\n"},
      argc, argv, 2);
  command.options.add_options()("shares",
                                po::value<std::vector<std::string>>()->required()->value_name("PART.h5"),
                                "the files to join (all arguments)");
  command.positional.add("shares", -1);
  if (!command.parse()) return;
  const auto paths = command.get<std::vector<std::string>>("shares");
  const hdf5::Reader first(paths[0]);
  SliceResult whole = read_slice(first);
  const std::size_t lines_of_share = summary_lines(whole).size();
  const Grid& grid = whole.grid;
  const auto place = [&](Index i) {
    return "point (" + number(grid.x.at(i % grid.x.count)) + ", " + number(grid.y.at(i / grid.x.count)) + ")";
  };
  for (std::size_t p = 1; p < paths.size(); ++p) {
    const SliceResult part = read_slice(hdf5::Reader(paths[p]));
    const std::string difference = first_difference(part.specification, whole.specification);
    if (!difference.empty())
      throw InputError(paths[p] + ": of another slice than " + paths[0] + " (" + difference + ")");
    for (Index i = 0; i < grid.size(); ++i) {
      if (part.computed[i] == 0) continue;
      if (whole.computed[i] != 0)
        throw InputError(paths[p] + ": " + place(i) +
                         " is in a file before it, too; expected every point once");
      whole.computed[i] = 1;
      for (std::size_t q = 0; q < whole.values.size(); ++q) whole.values[q][i] = part.values[q][i];
    }
  }
  if (const Index absent = grid.size() - whole.done(); absent > 0) {
    const auto at = std::find(whole.computed.begin(), whole.computed.end(), 0) - whole.computed.begin();
    throw InputError("the files leave out " + std::to_string(absent) + " of " + std::to_string(grid.size()) +
                     " points, the first: " + place(at));
  }
  // What one run would say: of all points, then what every share says of directions, path and model.
  for (const std::string& line : summary_lines(whole)) command.say(line);
  std::istringstream verdict(first.read_string("/entry/verdict"));
  std::string line;
  for (std::size_t number = 0; std::getline(verdict, line); ++number)
    if (number >= lines_of_share) command.say(line);
  hdf5::Writer file(command.output(), command.get<bool>("overwrite"));
  write_slice(file, whole);
  hdf5::write_entry(file, kName, first.read_string("/entry/title"), whole.of_lines() ? "band" : "surface");
  file.write("/entry/verdict", command.summary());
  hdf5::Provenance provenance = command.provenance();
  provenance.program = kName;
  const auto own = std::exchange(provenance.options, {});
  for (const std::string& name : first.members("/entry/provenance/options"))
    provenance.options[name] = first.read_string("/entry/provenance/options/" + name);
  for (const char* name : {"output", "overwrite"}) provenance.options[name] = own.at(name);
  provenance.options["part"] = "1/1";
  provenance.seed = whole_number(paths[0] + ": seed", specified(whole.specification, "seed"));
  provenance.input_file = first.read_string("/entry/provenance/input_file");
  provenance.input_sha256 = first.read_string("/entry/provenance/input_sha256");
  hdf5::write_provenance(file, "/entry/provenance", provenance);
  for (const char* group : {"/entry/model", "/entry/directions"}) file.copy(first, group);
  if (first.has("/entry/trajectory")) copy_path(file, first);
  file.commit();
}

}  // namespace

int main(int argc, char** argv) {
  return run(kName, [&] {
    if (argc > 1 && std::string(argv[1]) == "merge") return merge(argc, argv);
    return slice(argc, argv);
  });
}
