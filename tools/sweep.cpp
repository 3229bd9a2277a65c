/// basin-sweep: what holds at random initialisations, over a grid of problem options.
#include <algorithm>
#include <cmath>
#include <map>
#include <tuple>

#include "basin/linalg/errors.h"
#include "basin/linalg/memory.h"
#include "basin/linalg/parallel.h"
#include "common/command/network_problems.h"
#include "common/command/run.h"
#include "common/command/run_output.h"
#include "common/command/setup.h"
#include "common/command/shares.h"
#include "common/sweep/measures.h"
#include "common/sweep/summary.h"

using namespace basin;
using namespace basin::tools;

namespace {

const std::string kName = "basin-sweep";

const char* const kOverview =
    R"(basin-sweep: what holds at random initialisations, over a grid of problem options

Usage: basin-sweep KIND -o SWEEP.h5 --sweep OPTION=LIST ... [options]
       basin-sweep merge PART1.h5 PART2.h5 ... -o SWEEP.h5

  teacher       synthetic problems, as from basin-problem teacher
  text          labelled text, as from basin-problem text
  architecture  any network, described in JSON, as from basin-problem architecture
  problem       the data and network of a problem file, at weights drawn anew
  merge         joins the shares that --part made into the whole sweep

basin-sweep KIND --help explains each.

Example:
  basin-sweep teacher -o sweep.h5 --sweep D=8:32:*2 --sweep kernel=softmax,gaussian --repeats 5 -N 4 -n 4
)";

const char* const kDetails =
    R"(--sweep OPTION=LIST is one axis; several make a grid. OPTION is any option of the problem, its initial weights or
--train, by its name or letter, gain.W_O for the gain of a block. LIST has numbers, words and ranges between commas:
16,32,64 or 16:1024:*2 or 4:16:4. --sweep D=64,128+H=2,4 varies options together; train=W_V,W_Q+W_K has two values.
)";

const char* const kVariables =
    R"(Variables that the description of the network declares ({"variables": {"depth": 2, ...}, ...}, and "$depth" or
"4*$width" in the place of a value) are swept by their names, depth=1:6:1, or as set.depth where an option has that name.
)";

const char* const kDraws =
    R"(
Every cell of the grid gets --repeats draws of data and weights, each with a seed of its own, which depends on --seed,
the cell's values and the number of the draw alone: growing the sweep keeps the draws it has. The result holds the
seeds: basin-problem with the options of the cell and --seed S makes that very problem. Give --data-seed to hold the
data fixed.
)";

const char* const kDrawsOfFile =
    R"(
Every cell of the grid gets --repeats draws of weights, each with a seed of its own, which depends on --seed, the cell's
values and the number of the draw alone: growing the sweep keeps the draws it has. The result holds the seeds: every
tool finds that very point with PROBLEM.h5, the options of the cell, --init METHOD and --seed S. --init file takes the
weights of the file, times --gain, which leaves nothing to draw: with --repeats 1.
)";

const char* const kMeasured =
    R"(
--measure says what of every draw:
  ntk          both ends of the NTK of the trained blocks, its rank, and whether it is positive definite, as by
               basin-ntk%s
  conditions   those that kernels of one attention layer hang on, and what they prove
  certificate  whether gradient descent is proven to reach zero loss, of one attention layer
  hessian      the largest and smallest eigenvalue of the Hessian, with error bounds, as basin-hessian --largest 1
               --smallest 1, and whether there is negative curvature for certain
  negative     the share of its eigenvalues that are negative: counted exactly up to --dense-limit parameters, else
               estimated, with a 95 % interval
  training     loss, gradient and steps after a descent, as of basin-train with the same options, and whether it got to
               the global minimum, where that is known (within 1e-8 of the loss of outputs 0), or under cross-entropy
               has every row in its class
The file says of each number whether it is proven, bounded or estimated.

Finished draws are kept in OUTPUT.journal until the result is written; a run that was stopped or killed goes on with
--resume. --part 2/5 computes the second fifth of the draws, for instance on another machine; basin-sweep merge joins
the shares.
)";

struct KindWords {
  const char *of, *usage, *example;
};
const std::map<std::string, KindWords> kKinds = {
    {"teacher",
     {"of options of teacher problems", "",
      "  basin-sweep teacher -o sweep.h5 --sweep D=8:32:*2 --sweep H=1,2 --repeats 5 -N 4 -n 4\n"}},
    {"text",
     {"of options of text problems", "FOLDER ",
      "  basin-sweep text aclImdb/train -o sweep.h5 --sweep D=64:1024:*2 --repeats 10 -N 8 -n 8\n"}},
    {"architecture",
     {"of variables and options of a described network", "NETWORK.json ",
      "  basin-sweep architecture data/classifier.json -o sweep.h5 --sweep depth=1:3:1 --sweep "
      "kernel=softmax,gaussian"
      " \\\n    -N 4 --set tokens=6 --set width=8 --repeats 5\n"}},
    {"problem",
     {"of initial weights of a problem file", "PROBLEM.h5 ",
      "  basin-sweep problem problem.h5 -o sweep.h5 --sweep init=gaussian,xavier --sweep "
      "gain.W_O=0.5:4:*2\n"}}};

/// The paragraphs of the help of a kind.
std::string details(const std::string& kind) {
  const bool layer = kind == "teacher" || kind == "text";
  std::string measured = kMeasured;
  const std::string place = "%s";
  measured.replace(measured.find(place), place.size(),
                   layer ? " (and of each block alone)"
                         : ", from the Jacobian; --kernels PATTERNS:\n               also of blocks; under "
                           "cross-entropy also on what residuals see");
  return std::string(kDetails) + (kind == "architecture" ? kVariables : "") +
         (kind == "problem" ? kDrawsOfFile : kDraws) + measured;
}

/// The text before the first "=" of each.
bool has_key(const std::vector<std::string>& settings, const std::string& key) {
  return std::any_of(settings.begin(), settings.end(),
                     [&](const std::string& setting) { return setting.starts_with(key + "="); });
}

/// The options that are the same in all cells, as resolved.
Specification fixed_options(const Command& command, const std::string& kind,
                            const std::map<std::string, std::string>& swept) {
  Specification fixed;
  const auto add = [&](const po::options_description& options) {
    for (const auto& option : options.options()) {
      const std::string& name = option->long_name();
      const auto axis = swept.find(name);
      if (axis != swept.end() && axis->second.empty()) continue;
      // of described networks its default says nothing
      if (name == "train" && (kind == "architecture" || kind == "problem") && !command.given(name)) continue;
      if (const std::string value = command.text(name); !value.empty()) fixed.emplace_back(name, value);
    }
  };
  add(sweepable_options(kind));
  if (kind == "architecture") {
    po::options_description files;
    add_network_file_options(files);
    add(files);
  }
  return fixed;
}

SweepPlan make_plan(const Command& command, const std::string& kind, const DrawSource& source,
                    const Measures& measures) {
  SweepPlan plan;
  plan.kind = kind;
  std::tie(plan.input, plan.input_sha256) = source.input();
  if (!command.given("sweep"))
    throw InputError("no axis: give --sweep OPTION=LIST, e.g. --sweep " +
                     std::string(kind == "architecture" ? "kernel=softmax,gaussian"
                                 : kind == "problem"    ? "init=gaussian,xavier"
                                                        : "D=16:1024:*2"));
  plan.axes =
      parse_axes(command.get<std::vector<std::string>>("sweep"), sweepable_options(kind), source.variables());
  plan.repeats = command.get<Index>("repeats");
  if (plan.repeats < 1)
    throw InputError("--repeats " + std::to_string(plan.repeats) + ": expected at least 1");
  if (const double draws = plan.size(); draws > kMostDraws)
    throw InputError("--sweep: found a grid of " + number(draws) + " draws; expected at most " +
                     number(kMostDraws));
  require_memory("--sweep, --repeats: " + number(plan.size(), 9) + " draws",
                 2 * 8 * plan.size() * static_cast<double>(measures.most_quantities()));
  plan.base_seed = command.seed();
  plan.measures = measures.specification();
  std::map<std::string, std::string> swept;  // option -> the key of it that varies
  for (const SweepAxis& axis : plan.axes)
    for (const SweptOption& option : axis.options) {
      swept[option.option] = option.key;
      const bool twice =
          command.given(option.option) &&
          (option.key.empty() || has_key(command.get<std::vector<std::string>>(option.option), option.key));
      if (twice)
        throw InputError("--sweep " + axis.text() + ": --" + option.option +
                         " is given as an option, too; expected one of them");
    }
  plan.fixed = fixed_options(command, kind, swept);
  return plan;
}

/// The options of a draw.
OptionValues draw_values(const Command& command, const SweepPlan& plan, Index draw) {
  auto settings = plan.settings(draw / plan.repeats);
  settings.emplace_back("seed", std::to_string(plan.seed(draw)));
  // the weights of a file are drawn anew where --init is given
  if (plan.kind == "problem" && !command.given("init") &&
      std::none_of(settings.begin(), settings.end(),
                   [](const auto& setting) { return setting.first == "init"; }))
    settings.emplace_back("init", command.text("init"));
  return command.with(settings);
}

/// Makes the first problem of every cell, so that what cannot be is refused before the work begins. Bytes
/// that a draw of each needs.
std::vector<double> check_cells(const Command& command, const SweepPlan& plan, DrawSource& source,
                                Measures& measures) {
  std::vector<double> bytes(plan.cells());
  for (Index cell = 0; cell < plan.cells(); ++cell) try {
      const OptionValues values = draw_values(command, plan, cell * plan.repeats);
      if (plan.kind == "problem" && values.get<std::string>("init") == "file" && plan.repeats > 1)
        throw InputError("--init file has the same weights in every draw; expected --repeats 1");
      source.prepare(values);
      bytes[cell] = measures.prepare(values, source.make(values));
      if (bytes[cell] > static_cast<double>(command.memory()))
        throw InputError((plan.measures.empty() ? "the dense kernels need " : "what is measured needs ") +
                         bytes_text(bytes[cell]) + ", --memory allows " +
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

/// "draw 1 at D = 64"
std::string draw_text(const SweepPlan& plan, Index draw) {
  return "draw " + std::to_string(draw % plan.repeats) + " at " + plan.cell_text(draw / plan.repeats);
}

/// memory: bytes that may be kept between products.
std::vector<double> measure(const Command& command, const SweepPlan& plan, const DrawSource& source,
                            const Measures& measures, Index draw, double memory) {
  std::vector<double> numbers;
  try {
    const OptionValues values = draw_values(command, plan, draw);
    for (const Quantity& quantity : measures.measure(values, source.make(values), memory))
      numbers.push_back(quantity.value);
  } catch (const WorkError& error) {  // of this draw alone
    command.message(draw_text(plan, draw) + " cannot be measured: " + error.what());
    numbers.assign(plan.quantities.size(), std::nan(""));
  } catch (const InputError& error) {
    throw InputError(draw_text(plan, draw) + ": " + error.what());
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
                         command.provenance(result.plan.input, result.plan.input_sha256));
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
  add_source_options(command, kind);
  add_measure_options(command, kind);
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
void measure_share(const Command& command, const DrawSource& source, const Measures& measures,
                   const std::vector<double>& bytes, Journal& journal, SweepResult& result) {
  const SweepPlan& plan = result.plan;
  const auto [share, shares] = command.part();
  // Small draws side by side; large ones, of which --memory has no room for one a thread, one after another,
  // each on all threads.
  const Index slots = thread_slots();
  std::vector<Index> small, large;
  for (Index draw = share; draw < plan.draws(); draw += shares) {
    if (result.computed[draw] != 0) continue;
    const double together = bytes[draw / plan.repeats] * static_cast<double>(slots);
    (together <= static_cast<double>(command.memory()) ? small : large).push_back(draw);
  }
  const auto finish = [&](Index draw, Index at_once) {
    const double memory =
        static_cast<double>(command.memory()) / static_cast<double>(at_once) - bytes[draw / plan.repeats];
    const std::vector<double> numbers = measure(command, plan, source, measures, draw, memory);
    journal.append(draw, numbers);
    result.set(draw, numbers);
  };
  const auto count = static_cast<Index>(small.size()), total = count + static_cast<Index>(large.size());
  const Progress progress = command.progress("draws");
  parallel_for(
      count, [&](Index i, Index) { finish(small[i], slots); },
      [&](Index done, Index) { report(progress, done, total); });
  for (Index i = count; i < total; ++i) {
    finish(large[i - count], 1);
    report(progress, i + 1, total);
  }
}

void sweep(const std::string& kind, int argc, const char* const* argv) {
  const KindWords& about = kKinds.at(kind);
  Command command(
      {kName + " " + kind, std::string("what holds at random initialisations, over a grid ") + about.of,
       std::string(about.usage) + "-o SWEEP.h5 --sweep OPTION=LIST ... [options]", details(kind),
       about.example},
      argc, argv, 2);
  add_options(command, kind);
  if (!command.parse()) return;
  const std::unique_ptr<DrawSource> source = make_source(command, kind);
  Measures measures(command, kind);
  SweepPlan plan = make_plan(command, kind, *source, measures);
  command.part();  // is refused before the work begins, if it is wrong
  RunOutput output(command, command.output(), "/entry/provenance");
  const std::vector<double> bytes = check_cells(command, plan, *source, measures);
  if (const std::string note = source->note(); !note.empty()) command.message(note);
  plan.quantities = measures.quantities();
  SweepResult result(plan);

  const Specification specification = specification_of(plan, command.get<std::string>("part"));
  output.check(specification);
  Journal journal(journal_of(output.path()), specification, plan.quantities.size(),
                  command.get<bool>("resume"));
  if (output.finished()) {
    journal.remove();
    return command.message(output.path() + " is finished");
  }
  take_finished(command, journal, result);
  measure_share(command, *source, measures, bytes, journal, result);
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
  const SharedWork work = {"draw", [&](Index draw) { return draw_text(plan, draw); }};
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
  std::vector<Kind> kinds;
  for (const std::string& kind : sweep_kinds())
    kinds.push_back({kind, [kind](int count, const char* const* words) { sweep(kind, count, words); }});
  kinds.push_back({"merge", merge});
  return run_kinds(kName, "kind of sweep", kOverview, kinds, argc, argv);
}
