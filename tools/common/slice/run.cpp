#include "common/slice/run.h"

#include <chrono>

#include "basin/linalg/errors.h"
#include "basin/linalg/memory.h"
#include "basin/network/architecture_json.h"
#include "basin/ntk/trained_kernel.h"
#include "common/command/checksum.h"
#include "common/command/run_output.h"
#include "common/descent/global_minimum.h"
#include "common/slice/summary.h"

namespace basin::tools {
namespace {

double seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

/// All that makes the slice what it is.
Specification specify(const Command& command, const Setup& setup, const Directions& directions,
                      const Grid& grid, const std::vector<std::string>& quantities, const std::string& way,
                      const std::string& trajectory_sha256) {
  std::string names;
  for (const std::string& name : quantities) names += (names.empty() ? "" : ",") + name;
  Specification all = {
      {"version", version()}, {"format", hdf5::kFormatVersion}, {"problem", setup.input_sha256}};
  const auto add = [&](const Specification& more) { all.insert(all.end(), more.begin(), more.end()); };
  const auto layer = setup.single_attention();
  if (layer)
    add({{"kernel", kernel_name(layer->kernel)},
         {"bandwidth", layer->kernel == KernelKind::gaussian ? number(layer->sigma(), 17) : "none"}});
  else
    add({{"network", checksum(to_json(setup.architecture()))}});
  add({{"weights", setup.weights_origin}});
  if (layer) add({{"heads", std::to_string(layer->heads)}, {"head-dim", std::to_string(layer->head_dim)}});
  add({{"train", setup.trainable()},
       {"x", axis_text(grid.x)},
       {"y", axis_text(grid.y)},
       {"u", directions.u.origin + ", " + directions.u.normalisation},
       {"v", directions.v.origin + ", " + directions.v.normalisation},
       {"directions", directions.checksum()},
       {"quantities", names},
       {"evaluation", way},
       {"seed", std::to_string(command.seed())}});
  if (directions.lines > 1) all.emplace_back("lines", std::to_string(directions.lines));
  if (names.find("min_ntk") != std::string::npos && rows_of_loss(*setup.point.model) == KernelRows::centred)
    all.emplace_back("ntk", "logit differences");
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

}  // namespace

SliceRun::SliceRun(Command& command, const Setup& setup, SliceRequest request)
    : command_(command),
      setup_(setup),
      request_(std::move(request)),
      found_(is_resumed(command, command.output())),
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

bool SliceRun::check_found() const {
  const std::optional<SliceResult> found = own_result(command_.output(), result_.specification);
  if (!found)
    throw InputError(command_.output() +
                     ": exists already and is not the result of this run; give another name or --overwrite");
  return found->complete();
}

std::optional<PathOnPlane> SliceRun::path_on() const {
  if (!path_read_.trajectory) return std::nullopt;
  return path_on_plane(setup_, directions_.u.vector, directions_.v.vector, *path_read_.trajectory,
                       command_.memory());
}

std::unique_ptr<PlaneLoss> SliceRun::plane_of(Index line) const {
  return plane_loss(setup_.point, directions_.lines > 1 ? directions_.line(line) : directions_.u.vector,
                    directions_.v.vector, grid_of_plane(),
                    {.memory = command_.memory(), .accuracy = measurement_.counts_on_plane()});
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
  const Index at_once = measurement_.pieces_at_once(*plane_);
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
  if (line != line_) plane_ = plane_of(line), line_ = line;
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
  if (const auto known = global_minimum(setup_)) command_.say("  " + text(*known));
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
  write_frame(file, command_, setup_, kSliceProgram, "Loss " + place_text(result_),
              result_.of_lines() ? "band" : "surface");
  file.commit();
  mine_ = true;
}

}  // namespace basin::tools
