/// basin-sweep: what holds at random initialisations, over a grid of problem options.
#include <cmath>

#include "basin/linalg/errors.h"
#include "basin/linalg/memory.h"
#include "basin/linalg/parallel.h"
#include "common/command/problems.h"
#include "common/command/run.h"
#include "common/command/run_output.h"
#include "common/command/setup.h"
#include "common/command/shares.h"
#include "common/sweep/summary.h"

using namespace basin;
using namespace basin::tools;

namespace {

const std::string kName = "basin-sweep";

const char* const kOverview =
    R"(basin-sweep: what holds at random initialisations, over a grid of problem options

Usage: basin-sweep KIND -o SWEEP.h5 --sweep OPTION=LIST ... [options]
       basin-sweep merge PART1.h5 PART2.h5 ... -o SWEEP.h5

  teacher   synthetic problems, as from basin-problem teacher
  text      labelled text, as from basin-problem text
  merge     joins the shares that --part made into the whole sweep

basin-sweep KIND --help explains each.

Example:
  basin-sweep teacher -o sweep.h5 --sweep D=8:32:*2 --sweep kernel=softmax,gaussian --repeats 5 -N 4 -n 4
)";

const char* const kDetails =
    R"(--sweep OPTION=LIST is one axis; several make a grid. OPTION is any option of the problem, its initial weights or
--train, by its name or letter, gain.W_O for the gain of a block. LIST has numbers, words and ranges between commas:
16,32,64 or 16:1024:*2 or 4:16:4. --sweep D=64,128+H=2,4 varies options together; train=W_V,W_Q+W_K has two values.

Every cell of the grid gets --repeats draws of data and weights, each with a seed of its own, which depends on --seed,
the cell's values and the number of the draw alone: growing the sweep keeps the draws it has. The result holds the
seeds: basin-problem with the options of the cell and --seed S makes that very problem. Give --data-seed to hold the
data fixed.

In every draw the NTK of each trained block and of their sum is judged as by basin-ntk. Finished draws are kept in
OUTPUT.journal until the result is written; a run that was stopped or killed goes on with --resume. --part 2/5 computes
the second fifth of the draws, for instance on another machine; basin-sweep merge joins the shares.
)";

/// Makes the problems of a sweep.
class Source {
 public:
  Source(std::string kind, std::string folder) : kind_(std::move(kind)), folder_(std::move(folder)) {}

  /// Reads the reviews that a cell needs; make() then may run on any thread.
  void prepare(const OptionValues& values) {
    if (kind_ != "text") return;
    const auto tokens = values.get<Index>("tokens");
    if (!reviews_.contains(tokens)) reviews_.emplace(tokens, read_reviews(folder_, tokens));
  }
  std::string note() const { return reviews_.empty() ? "" : encoding_note(reviews_.begin()->second); }
  Problem make(OptionValues values) const {
    Problem problem = kind_ == "text" ? text_problem(values, reviews_.at(values.get<Index>("tokens"))).problem
                                      : teacher_problem(values);
    draw_student(values, problem);
    return problem;
  }

 private:
  std::string kind_, folder_;
  std::map<Index, Reviews> reviews_;
};

CellOptions cell_options(const OptionValues& values) {
  return {parse_blocks(values.get<std::string>("train"))};
}

SweepPlan make_plan(const Command& command, const std::string& kind) {
  const po::options_description sweepable = sweepable_options(kind);
  SweepPlan plan;
  plan.kind = kind;
  if (kind == "text") {
    plan.folder = command.get<std::string>("folder");
    plan.reviews_sha256 = hdf5::sha256_of_files(plan.folder, review_names(plan.folder));
  }
  if (!command.given("sweep"))
    throw InputError("no axis: give --sweep OPTION=LIST, e.g. --sweep D=16:1024:*2");
  plan.axes = parse_axes(command.get<std::vector<std::string>>("sweep"), sweepable);
  plan.repeats = command.get<Index>("repeats");
  if (plan.repeats < 1)
    throw InputError("--repeats " + std::to_string(plan.repeats) + ": expected at least 1");
  if (const double draws = plan.size(); draws > kMostDraws)
    throw InputError("--sweep: found a grid of " + number(draws) + " draws; expected at most " +
                     number(kMostDraws));
  require_memory("--sweep, --repeats: " + number(plan.size(), 9) + " draws",
                 2 * 8 * plan.size() * static_cast<double>(cell_quantities(cell_options(command)).size()));
  plan.base_seed = command.seed();
  plan.quantities = cell_quantities(cell_options(command));
  std::map<std::string, std::string> swept;  // option -> the axis it is in
  for (const SweepAxis& axis : plan.axes)
    for (const SweptOption& option : axis.options) {
      swept[option.option] = option.key;
      bool twice = command.given(option.option);
      if (twice && !option.key.empty())
        twice = parse_gains(command.get<std::vector<std::string>>(option.option)).contains(option.key);
      if (twice)
        throw InputError("--sweep " + axis.text() + ": --" + option.option +
                         " is given as an option, too; expected one of them");
    }
  for (const auto& option : sweepable.options())
    if (const std::string& name = option->long_name(); !swept.contains(name) || !swept[name].empty())
      if (const std::string value = command.text(name); !value.empty()) plan.fixed.emplace_back(name, value);
  return plan;
}

/// The options of a draw.
OptionValues draw_values(const Command& command, const SweepPlan& plan, Index draw) {
  auto settings = plan.settings(draw / plan.repeats);
  settings.emplace_back("seed", std::to_string(plan.seed(draw)));
  return command.with(settings);
}

/// Makes the first problem of every cell, so that what cannot be is refused before the work begins. Bytes
/// that a draw of each needs.
std::vector<double> check_cells(const Command& command, const SweepPlan& plan, Source& source) {
  std::vector<double> bytes(plan.cells());
  for (Index cell = 0; cell < plan.cells(); ++cell) try {
      const OptionValues values = draw_values(command, plan, cell * plan.repeats);
      source.prepare(values);
      bytes[cell] = cell_bytes(source.make(values), cell_options(values));
      if (bytes[cell] > static_cast<double>(command.memory()))
        throw InputError("the dense kernels need " + bytes_text(bytes[cell]) + ", --memory allows " +
                         bytes_text(static_cast<double>(command.memory())));
    } catch (const WorkError&) {  // of this draw: it will be said when its turn comes
    } catch (const std::bad_alloc&) {
      throw;
    } catch (const std::length_error&) {
      throw;
    } catch (const std::exception& error) {
      throw InputError("at " + plan.cell_text(cell) + ": " + error.what());
    }
  return bytes;
}

std::vector<double> measure(const Command& command, const SweepPlan& plan, const Source& source, Index draw) {
  std::vector<double> numbers;
  try {
    const OptionValues values = draw_values(command, plan, draw);
    for (const Quantity& quantity : measure_cell(source.make(values), cell_options(values)))
      numbers.push_back(quantity.value);
  } catch (const WorkError& error) {  // of this draw alone
    command.message("draw " + std::to_string(draw % plan.repeats) + " at " +
                    plan.cell_text(draw / plan.repeats) + " cannot be measured: " + error.what());
    numbers.assign(plan.quantities.size(), std::nan(""));
  }
  return numbers;
}

/// All that makes up a run: the sweep, and the share of it.
Specification specification_of(const SweepPlan& plan, const std::string& part) {
  Specification specification = plan.specification();
  specification.emplace_back("part", part);
  return specification;
}

void write_result(Command& command, const SweepResult& result, const Specification& specification) {
  for (const std::string& line : summary_lines(result)) command.say(line);
  hdf5::Writer file(command.output(), command.get<bool>("overwrite"));
  const int leading = leading_verdict(result);
  hdf5::write_entry(file, kName, "Sweep of initialisations",
                    leading < 0 ? "draws" : share_group(result.plan.quantities[leading].name));
  file.write("/entry/verdict", command.summary());
  hdf5::write_provenance(file, "/entry/provenance",
                         command.provenance(result.plan.folder, result.plan.reviews_sha256));
  write_specification(file, "/entry/provenance", specification);
  write_sweep(file, result);
  file.commit();
}

void add_options(Command& command, const std::string& kind) {
  command.options.add_options()  //
      ("sweep", po::value<std::vector<std::string>>()->composing()->value_name("OPTION=LIST"),
       "an axis of the grid; repeatable")  //
      ("repeats", po::value<Index>()->default_value(20)->value_name("R"), "draws of every cell");
  command.add_options(Identity::none)("resume", po::bool_switch(),
                                      "go on with the journal of a run that did not finish");
  command.add_part_option("draws");
  if (kind == "text") {
    command.options.add_options()("folder", po::value<std::string>()->required()->value_name("FOLDER"),
                                  "the folder of labelled text (first argument)");
    command.positional.add("folder", 1);
  }
  command.options.add(sweepable_options(kind));
  command.add_memory_option();
}

/// What is in the journal already.
void take_finished(const Command& command, const Journal& journal, SweepResult& result) {
  for (const auto& [draw, numbers] : journal.records()) result.set(draw, numbers);
  if (!journal.records().empty())
    command.message(std::to_string(journal.records().size()) + " draws are in the journal");
  if (journal.damaged() > 0)
    command.message(std::to_string(journal.damaged()) +
                    " damaged lines of the journal: their draws are repeated");
}

/// All draws of the share that are not there yet. bytes: that a draw of each cell needs.
void measure_share(const Command& command, const Source& source, const std::vector<double>& bytes,
                   Journal& journal, SweepResult& result) {
  const SweepPlan& plan = result.plan;
  const auto [share, shares] = command.part();
  // Small draws side by side; large ones, of which --memory has no room for one a thread, one after another,
  // each on all threads.
  std::vector<Index> small, large;
  for (Index draw = share; draw < plan.draws(); draw += shares) {
    if (result.computed[draw] != 0) continue;
    const double together = bytes[draw / plan.repeats] * static_cast<double>(thread_slots());
    (together <= static_cast<double>(command.memory()) ? small : large).push_back(draw);
  }
  const auto finish = [&](Index draw) {
    const std::vector<double> numbers = measure(command, plan, source, draw);
    journal.append(draw, numbers);
    result.set(draw, numbers);
  };
  const auto count = static_cast<Index>(small.size()), total = count + static_cast<Index>(large.size());
  const Progress progress = command.progress("draws");
  parallel_for(
      count, [&](Index i, Index) { finish(small[i]); },
      [&](Index done, Index) { report(progress, done, total); });
  for (Index i = count; i < total; ++i) {
    finish(large[i - count]);
    report(progress, i + 1, total);
  }
}

void sweep(const std::string& kind, int argc, const char* const* argv) {
  const bool text = kind == "text";
  Command command(
      {kName + " " + kind,
       "what holds at random initialisations, over a grid of options of " + kind + " problems",
       std::string(text ? "FOLDER " : "") + "-o SWEEP.h5 --sweep OPTION=LIST ... [options]", kDetails,
       text ? "  basin-sweep text aclImdb/train -o sweep.h5 --sweep D=64:1024:*2 --repeats 10 -N 8 -n 8\n"
            : "  basin-sweep teacher -o sweep.h5 --sweep D=8:32:*2 --sweep H=1,2 --repeats 5 -N 4 -n 4\n"},
      argc, argv, 2);
  add_options(command, kind);
  if (!command.parse()) return;
  SweepResult result(make_plan(command, kind));
  const SweepPlan& plan = result.plan;
  command.part();  // is refused before the work begins, if it is wrong
  RunOutput output(command, command.output(), "/entry/provenance");
  Source source(kind, plan.folder);
  const std::vector<double> bytes = check_cells(command, plan, source);
  if (const std::string note = source.note(); !note.empty()) command.message(note);

  const Specification specification = specification_of(plan, command.get<std::string>("part"));
  output.check(specification);
  Journal journal(journal_of(output.path()), specification, plan.quantities.size(),
                  command.get<bool>("resume"));
  if (output.finished()) {
    journal.remove();
    return command.message(output.path() + " is finished");
  }
  take_finished(command, journal, result);
  measure_share(command, source, bytes, journal, result);
  write_result(command, result, specification);
  journal.remove();
}

void merge(int argc, const char* const* argv) {
  Command command(
      {kName + " merge", "joins the shares that --part made into the whole sweep",
       "PART1.h5 PART2.h5 ... -o SWEEP.h5",
       "The shares must be of one sweep: the same options, axes, repeats, seed and version of Basin.\n"
       "Every draw must be in exactly one of them. The result is what one run would have written.\n",
       "  basin-sweep merge part1.h5 part2.h5 -o sweep.h5\n"},
      argc, argv, 2);
  const std::vector<std::string> paths = files_to_join(command, "shares", "PART.h5");
  if (paths.empty()) return;
  SweepResult whole = read_sweep(hdf5::Reader(paths[0]));
  const SweepPlan& plan = whole.plan;
  const SharedWork work = {"draw", [&](Index draw) {
                             return "draw " + std::to_string(draw % plan.repeats) + " at " +
                                    plan.cell_text(draw / plan.repeats);
                           }};
  for (std::size_t p = 1; p < paths.size(); ++p) {
    const SweepResult part = read_sweep(hdf5::Reader(paths[p]));
    check_same_work(paths[p], part.plan.specification(), paths[0], plan.specification(), "another sweep");
    for (const Index draw : pieces_of_share(work, whole.computed, paths[p], part.computed)) {
      std::vector<double> numbers;
      for (const auto& quantity : part.values) numbers.push_back(quantity[draw]);
      whole.set(draw, numbers);
    }
  }
  check_complete(work, whole.computed);
  write_result(command, whole, specification_of(plan, "1/1"));
}

}  // namespace

int main(int argc, char** argv) {
  const auto of = [](const std::string& kind) {
    return [kind](int count, const char* const* words) { sweep(kind, count, words); };
  };
  return run_kinds(kName, "kind of sweep", kOverview,
                   {{"teacher", of("teacher")}, {"text", of("text")}, {"merge", merge}}, argc, argv);
}
