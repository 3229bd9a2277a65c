#include "common/descent/training_options.h"

#include <algorithm>

#include "basin/linalg/errors.h"
#include "basin/linalg/memory.h"

namespace basin::tools {
namespace {

Index cadence(Command& command, const std::string& option, Index otherwise) {
  Index every = command.given(option) ? command.get<Index>(option) : std::max<Index>(1, otherwise);
  if (every < 1) throw InputError("--" + option + " " + std::to_string(every) + ": expected at least 1");
  command.resolve(option, std::to_string(every));
  return every;
}

/// That rows of so many numbers fit --memory, one every so many steps.
void check_rows(const Command& command, const std::string& option, Index every, Index steps, double columns,
                const std::string& what) {
  const auto memory = static_cast<double>(command.memory());
  const double bytes = (static_cast<double>(steps) / static_cast<double>(every) + 2) * 8.0 * columns;
  if (bytes > memory)
    throw InputError("--" + option + " " + std::to_string(every) + ": the " + what + " " + bytes_text(bytes) +
                     ", --memory allows " + bytes_text(memory) + "; give a larger number");
}

}  // namespace

void add_training_options(Command& command) {
  command.add_assert_option(
      {{"converged", "the descent is"},
       {"certified", "with --certify: zero loss is proven to be reached, from some record on"}});
  command.options.add_options()  //
      ("record-every", po::value<Index>()->value_name("K"),
       "steps from record to record (default: a thousandth of --steps)")  //
      ("checkpoint-every", po::value<Index>()->value_name("K"),
       "steps from checkpoint to checkpoint, and so of the trajectory (default: a hundredth of --steps)")  //
      ("ntk", po::bool_switch(), "record the smallest eigenvalue of the NTK of the trained blocks")        //
      ("certify", po::bool_switch(), "record the ball certificate (implies --ntk)");
  command.add_options(Identity::none)("resume", po::bool_switch(), "go on with a run that did not finish");
  command.add_output_option("final",
                            "write the last weights as a problem file, or to FILE.safetensors as the "
                            "checkpoint that they came from");
}

TrainingOptions read_training_options(Command& command, const DescentPlan& plan, Index weights) {
  constexpr double kColumns = 64;  // of a record, about
  const Index steps = plan.stopping.steps;
  TrainingOptions options;
  options.record_every = cadence(command, "record-every", (steps + 999) / 1000);
  options.checkpoint_every = cadence(command, "checkpoint-every", (steps + 99) / 100);
  check_rows(command, "checkpoint-every", options.checkpoint_every, steps, static_cast<double>(weights),
             "trajectory needs");
  check_rows(command, "record-every", options.record_every, steps, kColumns, "records need");
  options.records.ntk = command.get<bool>("ntk");
  options.records.certify = command.get<bool>("certify");
  options.records.one_step = plan.method == "gd" || plan.method == "line-search";
  options.records.memory = static_cast<double>(command.memory());
  return options;
}

Specification training_specification(const Command& command, const Setup& setup) {
  const hdf5::Provenance p = command.provenance(setup.input, setup.input_sha256);
  Specification specification = {
      {"version", p.version}, {"problem", p.input_sha256}, {"weights", setup.weights_origin}};
  const Specification options = command.identity();
  specification.insert(specification.end(), options.begin(), options.end());
  return specification;
}

}  // namespace basin::tools
