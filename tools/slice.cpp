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

void add_options(Command& command) {
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
}

/// What is asked for, besides point and directions.
struct Request {
  Grid grid;
  std::vector<std::string> quantities;
  Index share, shares;
  double write_every;  ///< seconds
  bool overwrite, resume;
};

Request read_request(const Command& command) {
  const Grid grid{parse_axis("x", command.get<std::string>("x")),
                  parse_axis("y", command.get<std::string>("y"))};
  const auto quantities = parse_quantities(command.get<std::string>("quantities"));
  const auto [share, shares] = command.part();
  const double write_every = command.get<double>("write-every");
  if (!(write_every >= 0))
    throw InputError("--write-every " + command.text("write-every") +
                     ": expected a number of seconds, 0 or more");
  return {grid,
          quantities,
          share,
          shares,
          write_every,
          command.get<bool>("overwrite"),
          command.get<bool>("resume")};
}

/// A path of a training run, and the checksum of its file; empty where none is given.
struct PathRead {
  std::optional<Trajectory> trajectory;
  std::string sha256;

  const Trajectory* pointer() const { return trajectory ? &*trajectory : nullptr; }
};

PathRead read_path(const Command& command, const Setup& setup) {
  if (!command.given("trajectory")) return {};
  const hdf5::Reader file(command.get<std::string>("trajectory"));
  Trajectory trajectory = read_trajectory(file, setup);
  return {std::move(trajectory), hdf5::sha256_of(file)};
}

/// The grid, its y axis as the directions need it. Throws InputError where it is too large.
Grid grid_along(const Command& command, Grid grid, const Directions& directions, std::size_t quantities) {
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
                 points * (160 + 16 * static_cast<double>(quantities)));
  return grid;
}

/// A slice: what it is of, and how far it is.
class SliceRun {
 public:
  SliceRun(Command& command, const Setup& setup, Request request);

  /// Whether the result was there already, complete: the run before was killed before it could delete its
  /// journal.
  bool was_finished() const { return was_finished_; }
  /// Measures what is missing.
  void measure();
  void say_summary();
  void write();
  void remove_journal() { journal_.remove(); }

 private:
  /// Whether a result is there to go on with; refuses a path that cannot be written.
  bool check_path() const;
  /// Whether the result that is there is complete. Throws InputError when it is of another slice.
  bool check_found() const;
  std::optional<PathOnPlane> path_on() const;
  /// The plane of a line, from 0; of a slice that is no bundle of lines, its plane.
  PlaneEvaluator plane_of(Index line) const;
  Grid grid_of_plane() const { return directions_.lines > 1 ? Grid{grid_.x, {0, 0, 1}} : grid_; }
  Index line_of(Index piece) const { return directions_.lines > 1 ? pieces_[piece].row : 0; }
  Specification of_this_share() const;
  /// Takes over what the journal has.
  void resume();
  std::vector<Index> missing_pieces() const;
  Index pieces_at_once() const;
  /// The next pieces from `first` that are measured together: at most so many, of one line.
  std::vector<Index> next(const std::vector<Index>& missing, std::size_t first, Index most) const;
  void measure(const std::vector<Index>& pieces);

  Command& command_;
  const Setup& setup_;
  Request request_;
  bool found_;  // the result of a run that is resumed
  PathRead path_read_;
  SliceMeasurement measurement_;
  Directions directions_;
  Grid grid_;
  std::vector<Piece> pieces_;
  std::optional<PathOnPlane> path_;
  Index line_ = 0;
  std::optional<PlaneEvaluator> plane_;  // of that line
  SliceResult result_;
  bool was_finished_;
  bool mine_;  // what has the name of the result may be replaced
  Journal journal_;
};

SliceRun::SliceRun(Command& command, const Setup& setup, Request request)
    : command_(command),
      setup_(setup),
      request_(std::move(request)),
      found_(check_path()),
      path_read_(read_path(command, setup)),
      measurement_(command, setup, request_.quantities),
      directions_(make_directions(command, setup, path_read_.pointer())),
      grid_(grid_along(command, request_.grid, directions_, request_.quantities.size())),
      pieces_(pieces_of(grid_)),
      path_(path_on()),
      plane_(plane_of(0)),
      result_(
          specify(command, setup, directions_, grid_, request_.quantities, plane_->way(), path_read_.sha256),
          grid_, request_.quantities),
      was_finished_(found_ && check_found()),
      mine_(request_.overwrite || found_),
      journal_(journal_of(command.output()), of_this_share(), request_.quantities.size() * kLongestPiece,
               request_.resume) {
  result_.center_loss = measurement_.center_loss();
  if (!was_finished_) resume();
}

bool SliceRun::check_path() const {
  const bool there = request_.resume && !request_.overwrite && std::filesystem::exists(command_.output());
  check_output(command_.output(), request_.overwrite || there);
  return there;
}

bool SliceRun::check_found() const {
  const std::optional<SliceResult> found = own_result(command_.output(), result_.specification);
  if (!found)
    throw InputError(command_.output() +
                     ": exists already and is not the result of this run; give another name or --overwrite");
  return found->complete();
}

std::optional<PathOnPlane> SliceRun::path_on() const {
  if (!path_read_.trajectory) return std::nullopt;
  return path_on_plane(setup_, directions_.u.vector, directions_.v.vector, *path_read_.trajectory);
}

PlaneEvaluator SliceRun::plane_of(Index line) const {
  return PlaneEvaluator(setup_.point, directions_.lines > 1 ? directions_.line(line) : directions_.u.vector,
                        directions_.v.vector, grid_of_plane(), {.memory = command_.memory()});
}

Specification SliceRun::of_this_share() const {
  Specification specification = result_.specification;
  specification.emplace_back("part", command_.get<std::string>("part"));
  return specification;
}

void SliceRun::resume() {
  for (const auto& [number, values] : journal_.records())
    if (number >= 0 && number < static_cast<Index>(pieces_.size())) result_.set(pieces_[number], values);
  if (!journal_.records().empty())
    command_.message(std::to_string(result_.done()) + " points are in the journal");
  if (journal_.damaged() > 0)
    command_.message(std::to_string(journal_.damaged()) +
                     " damaged lines of the journal: their points are repeated");
}

std::vector<Index> SliceRun::missing_pieces() const {
  std::vector<Index> missing;
  for (Index p = request_.share; p < static_cast<Index>(pieces_.size()); p += request_.shares)
    if (result_.computed[pieces_[p].row * grid_.x.count + pieces_[p].first] == 0) missing.push_back(p);
  return missing;
}

Index SliceRun::pieces_at_once() const {
  if (measurement_.expensive()) return 1;
  if (plane_->way() == PlaneWay::structured) return plane_->pieces_at_once();
  return plane_->way() == PlaneWay::plain ? 4 : static_cast<Index>(pieces_.size());
}

std::vector<Index> SliceRun::next(const std::vector<Index>& missing, std::size_t first, Index most) const {
  std::vector<Index> pieces;
  for (std::size_t i = first; i < missing.size() && static_cast<Index>(pieces.size()) < most; ++i) {
    if (line_of(missing[i]) != line_of(missing[first])) break;
    pieces.push_back(missing[i]);
  }
  return pieces;
}

void SliceRun::measure() {
  const std::vector<Index> missing = missing_pieces();
  const Progress progress = command_.progress("pieces of the grid");
  const Index at_once = pieces_at_once();
  double last_write = seconds();
  for (std::size_t done = 0; done < missing.size();) {
    const std::vector<Index> pieces = next(missing, done, at_once);
    measure(pieces);
    done += pieces.size();
    report(progress, static_cast<Index>(done), static_cast<Index>(missing.size()));
    if (done < missing.size() && seconds() - last_write >= request_.write_every) {
      write();
      last_write = seconds();
    }
  }
}

void SliceRun::measure(const std::vector<Index>& pieces) {
  const Index line = line_of(pieces.front());
  if (line != line_) plane_.emplace(plane_of(line)), line_ = line;
  const Index first_of_line = line * static_cast<Index>(plane_->pieces().size());
  std::vector<Index> local;
  for (const Index piece : pieces) local.push_back(piece - first_of_line);
  const auto measured = measurement_.measure(*plane_, grid_of_plane(), local);
  for (std::size_t i = 0; i < pieces.size(); ++i) {
    journal_.append(pieces[i], measured[i]);
    result_.set(pieces_[pieces[i]], measured[i]);
  }
}

void SliceRun::say_summary() {
  for (const std::string& line : summary_lines(result_)) command_.say(line);
  if (const auto known = global_minimum(setup_)) command_.say("  " + known->text());
  command_.say(direction_text("u", directions_.u));
  if (directions_.lines == 1) {
    command_.say(direction_text("v", directions_.v));
    if (directions_.v.origin != "none") command_.say("  cos(u, v) = " + number(directions_.cosine(), 4));
  }
  if (path_) command_.say(trajectory_text(*path_));
  command_.say(setup_.text());
}

void SliceRun::write() {
  hdf5::Writer file(command_.output(), mine_);
  write_slice(file, result_);
  write_directions(file, directions_);
  if (path_) write_path(file, *path_);
  write_frame(file, command_, setup_, kName, "Loss " + place_text(result_),
              result_.of_lines() ? "band" : "surface");
  file.commit();
  mine_ = true;
}

void slice(int argc, const char* const* argv) {
  Command command(kIntroduction, argc, argv);
  add_options(command);
  if (!command.parse()) return;
  Request request = read_request(command);
  const Setup setup = read_setup(command);
  SliceRun run(command, setup, std::move(request));
  if (run.was_finished()) {
    run.remove_journal();
    return command.message(command.output() + " is finished");
  }
  run.measure();
  run.say_summary();
  run.write();
  run.remove_journal();
}

/// The point of a grid with this number, for people.
std::string point_text(const Grid& grid, Index i) {
  return "point (" + number(grid.x.at(i % grid.x.count)) + ", " + number(grid.y.at(i / grid.x.count)) + ")";
}

/// Adds the points of a share. Throws InputError unless it is of the same slice and has points of its own.
void add_share(const std::string& path, const std::string& first_path, SliceResult& whole) {
  const SliceResult part = read_slice(hdf5::Reader(path));
  const std::string difference = first_difference(part.specification, whole.specification);
  if (!difference.empty())
    throw InputError(path + ": of another slice than " + first_path + " (" + difference + ")");
  for (Index i = 0; i < whole.grid.size(); ++i) {
    if (part.computed[i] == 0) continue;
    if (whole.computed[i] != 0)
      throw InputError(path + ": " + point_text(whole.grid, i) +
                       " is in a file before it, too; expected every point once");
    whole.computed[i] = 1;
    for (std::size_t q = 0; q < whole.values.size(); ++q) whole.values[q][i] = part.values[q][i];
  }
}

void check_complete(const SliceResult& whole) {
  const Index absent = whole.grid.size() - whole.done();
  if (absent == 0) return;
  const auto at = std::find(whole.computed.begin(), whole.computed.end(), 0) - whole.computed.begin();
  throw InputError("the files leave out " + std::to_string(absent) + " of " +
                   std::to_string(whole.grid.size()) + " points, the first: " + point_text(whole.grid, at));
}

/// What one run would say: of all points, then what every share says of directions, path and model.
void say_of_whole(Command& command, const SliceResult& whole, const hdf5::Reader& first,
                  std::size_t lines_of_share) {
  for (const std::string& line : summary_lines(whole)) command.say(line);
  std::istringstream verdict(first.read_string("/entry/verdict"));
  std::string line;
  for (std::size_t number = 0; std::getline(verdict, line); ++number)
    if (number >= lines_of_share) command.say(line);
}

/// That of one run: of this program and output, with the options, seed and problem of the shares.
hdf5::Provenance provenance_of_whole(const Command& command, const SliceResult& whole,
                                     const hdf5::Reader& first) {
  hdf5::Provenance provenance = command.provenance();
  provenance.program = kName;
  const auto own = std::exchange(provenance.options, {});
  for (const std::string& name : first.members("/entry/provenance/options"))
    provenance.options[name] = first.read_string("/entry/provenance/options/" + name);
  for (const char* name : {"output", "overwrite"}) provenance.options[name] = own.at(name);
  provenance.options["part"] = "1/1";
  provenance.seed = whole_number(first.path() + ": seed", specified(whole.specification, "seed"));
  provenance.input_file = first.read_string("/entry/provenance/input_file");
  provenance.input_sha256 = first.read_string("/entry/provenance/input_sha256");
  return provenance;
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
  for (std::size_t p = 1; p < paths.size(); ++p) add_share(paths[p], paths[0], whole);
  check_complete(whole);
  say_of_whole(command, whole, first, lines_of_share);
  hdf5::Writer file(command.output(), command.get<bool>("overwrite"));
  write_slice(file, whole);
  hdf5::write_entry(file, kName, first.read_string("/entry/title"), whole.of_lines() ? "band" : "surface");
  file.write("/entry/verdict", command.summary());
  hdf5::write_provenance(file, "/entry/provenance", provenance_of_whole(command, whole, first));
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
