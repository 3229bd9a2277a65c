/// basin-slice: the landscape on lines and planes through the point.
#include <algorithm>
#include <sstream>
#include <utility>

#include "basin/linalg/errors.h"
#include "common/command/given_weights.h"
#include "common/command/run.h"
#include "common/command/shares.h"
#include "common/slice/run.h"
#include "common/slice/summary.h"

using namespace basin;
using namespace basin::tools;

namespace {

const Introduction kIntroduction = {
    kSliceProgram, "the loss, and what else is asked for, on a plane or on lines through the point",
    "PROBLEM.h5 -o RESULT.h5 [--x MIN:MAX:NX] [--y MIN:MAX:NY] [options]\n"
    "       basin-slice merge PART1.h5 PART2.h5 ... -o RESULT.h5",
    R"(Writes f(theta + a u + b v) for a on the x axis and b on the y axis. By default u and v are random: independent
normal entries, every filter scaled to the norm of the weights' filter (Li et al., NeurIPS 2018): what reaches one
output unit of a matrix, the row of a token or position; biases and gains block by block, or not at all with --ignore.
(Of one attention layer alone, a filter is one head and one index along the first axis of a block.) The point itself is
at (0, 0). The result opens in the plot scripts of tomgoldstein/loss-landscape, in NeXus viewers such as h5web and silx,
and in ParaView.

Finished points are kept in RESULT.h5.journal, and RESULT.h5 itself is renewed as a whole from time to time, marked as
incomplete. A run that was stopped or killed goes on with --resume. --part 2/5 computes the second fifth of the grid,
for instance on another machine; basin-slice merge joins the shares.
)",
    R"(  basin-problem teacher -o problem.h5
  basin-slice problem.h5 -o slice.h5 --x -1:1:51 --y -1:1:51
  basin-slice problem.h5 -o parts.h5 --u-blocks W_Q,W_K --v-blocks W_V,W_O
  basin-slice problem.h5 -o curvature.h5 --u largest --v smallest --quantities eigenvalues --x -1:1:11 --y -1:1:11
)"};

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
       "Hessian), ntk (smallest eigenvalue), accuracy (percentage of rows of the outputs, tokens or samples, "
       "in "
       "the right class)");
  command.add_options(Identity::none)                                                       //
      ("resume", po::bool_switch(), "go on with the journal of a run that did not finish")  //
      ("write-every", po::value<double>()->default_value(30)->value_name("S"),
       "seconds after which the growing result is written anew; 0: after every part of the work");
  command.add_part_option("grid");
  add_model_options(command);
  add_at_option(command);
  command.add_memory_option();
}

SliceRequest read_request(const Command& command) {
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

void slice(int argc, const char* const* argv) {
  Command command(kIntroduction, argc, argv);
  add_options(command);
  if (!command.parse()) return;
  SliceRequest request = read_request(command);
  const Setup setup = read_setup_at(command);
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

/// Adds the points of a share. Throws InputError unless it is of the same slice and has points of its own.
void add_share(const SharedWork& work, const std::string& path, const std::string& first_path,
               SliceResult& whole) {
  const SliceResult part = read_slice(hdf5::Reader(path));
  check_same_work(path, part.specification, first_path, whole.specification, "another slice");
  for (const Index i : pieces_of_share(work, whole.computed, path, part.computed)) {
    whole.computed[i] = 1;
    for (std::size_t q = 0; q < whole.values.size(); ++q) whole.values[q][i] = part.values[q][i];
  }
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
  provenance.program = kSliceProgram;
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
      {kSliceProgram + " merge", "joins the shares that --part made into the whole slice",
       "PART1.h5 PART2.h5 ... -o RESULT.h5",
       "The shares must be of one slice: the same problem, directions, grid, options and version of Basin.\n"
       "Every point must be in exactly one of them. The result is what one run would have written.\n",
       "  basin-slice merge part1.h5 part2.h5 -o slice.h5\n"},
      argc, argv, 2);
  const std::vector<std::string> paths = files_to_join(command, "shares", "PART.h5");
  if (paths.empty()) return;
  const hdf5::Reader first(paths[0]);
  SliceResult whole = read_slice(first);
  const std::size_t lines_of_share = summary_lines(whole).size();
  const SharedWork work = {"point", [&grid = whole.grid](Index i) {
                             return "point (" + number(grid.x.at(i % grid.x.count)) + ", " +
                                    number(grid.y.at(i / grid.x.count)) + ")";
                           }};
  for (std::size_t p = 1; p < paths.size(); ++p) add_share(work, paths[p], paths[0], whole);
  check_complete(work, whole.computed);
  say_of_whole(command, whole, first, lines_of_share);
  hdf5::Writer file(command.output(), command.get<bool>("overwrite"));
  write_slice(file, whole);
  hdf5::write_entry(file, kSliceProgram, first.read_string("/entry/title"),
                    whole.of_lines() ? "band" : "surface");
  file.write("/entry/verdict", command.summary());
  hdf5::write_provenance(file, "/entry/provenance", provenance_of_whole(command, whole, first));
  for (const char* group : {"/entry/model", "/entry/directions"}) file.copy(first, group);
  if (first.has("/entry/trajectory")) copy_path(file, first);
  file.commit();
}

}  // namespace

int main(int argc, char** argv) {
  return run(kSliceProgram, [&] {
    if (argc > 1 && std::string(argv[1]) == "merge") return merge(argc, argv);
    return slice(argc, argv);
  });
}
