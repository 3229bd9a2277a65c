/// basin-train: descent of the loss, on record.
#include <omp.h>

#include <algorithm>
#include <cmath>
#include <optional>

#include "basin/hdf5/problem_file.h"
#include "basin/linalg/errors.h"
#include "basin/linalg/memory.h"
#include "basin/training/proven_steps.h"
#include "common/command/run.h"
#include "common/command/run_output.h"
#include "common/descent/checkpoint.h"
#include "common/descent/global_minimum.h"
#include "common/descent/options.h"
#include "common/descent/records.h"

using namespace basin;
using namespace basin::tools;

namespace {

const Introduction kIntroduction = {
    "basin-train", "deterministic descent of the loss in the trained blocks, every step of it accounted for",
    "PROBLEM.h5 -o RUN.h5 [--method METHOD] [--step ETA] [options]",
    R"(Full-batch descent from the weights of the problem:
  gd            theta - eta grad f, eta so small in every step that the run ends where the gradient flow does (--step
                flow); with --step certificate the step that is proven to reach zero loss, with --step guaranteed
                in every step one after which the loss is proven to fall
  line-search   the same with the step found by backtracking (Armijo)
  momentum      the heavy ball (Polyak)
  adam          Kingma and Ba
  lbfgs         limited-memory BFGS, line search for the weak Wolfe conditions
  newton        trust region; conjugate gradients on exact Hessian products (Steihaug)
Every --record-every steps, RUN.h5 gets loss, gradient norm, distance from the start, Polyak-Lojasiewicz
ratio |grad f|^2 / (2 f), rates, norms of the blocks and saturation of the attention; with --ntk the
smallest eigenvalue of the NTK, enclosed; with --certify the ball certificate: from where on convergence
to zero loss is proven. Every --checkpoint-every steps it gets the weights (/trajectory/theta). A run that
was stopped or killed goes on with --resume, from its last checkpoint, and ends with the same bits. --final
writes the last weights as a problem file that every other tool takes.
)",
    R"(  basin-problem teacher -o problem.h5
  basin-train problem.h5 -o run.h5 --method lbfgs --final end.h5
  basin-hessian end.h5 -o hessian.h5 --smallest 3
)"};

/// Everything that makes a run what it is: those options, the problem's content and the version.
Specification specification_of(const Command& command, const Setup& setup) {
  const hdf5::Provenance p = command.provenance(setup.input, setup.input_sha256);
  Specification specification = {{"version", p.version}, {"problem", p.input_sha256}};
  const Specification options = command.identity();
  specification.insert(specification.end(), options.begin(), options.end());
  return specification;
}

Index cadence(Command& command, const std::string& option, Index otherwise) {
  Index every = command.given(option) ? command.get<Index>(option) : std::max<Index>(1, otherwise);
  if (every < 1) throw InputError("--" + option + " " + std::to_string(every) + ": expected at least 1");
  command.resolve(option, std::to_string(every));
  return every;
}

/// Work in pieces of microseconds takes longer shared than alone; the results do not depend on it.
void use_one_thread_for_small_work(const Setup& setup, bool with_kernels) {
  constexpr double kSmall = 1e7;  // operations a step: about a millisecond
  const auto rows = static_cast<double>(setup.point.data->X.rows()),
             m = static_cast<double>(setup.point.data->Y.size());
  const double step = 6 * rows *
                      static_cast<double>(setup.point.weights.size() +
                                          setup.spec().tokens * setup.spec().heads * setup.spec().head_dim);
  if (step + (with_kernels ? m * m * m : 0) < kSmall) omp_set_num_threads(1);
}

/// A run with its records and checkpoints.
class Training {
 public:
  Training(Command& command, const Setup& setup, RunOutput output, std::optional<RunOutput> final)
      : command_(command),
        setup_(setup),
        output_(std::move(output)),
        final_(std::move(final)),
        objective_(setup.point, command.get<std::string>("method") == "newton" ? command.memory() : 0,
                   natural_length(setup.point)),
        start_(setup.parameters().extract(setup.point.weights)) {
    std::optional<Iterate> at = objective_.at(start_);
    if (!at) throw WorkError("the loss at the start is not finite: the weights or inputs are too large");
    run_.at = std::move(*at);
    require_representable(
        std::max(setup.point.data->Y.stableNorm(), objective_.here().outputs().stableNorm()),
        setup.input + ": ");
    const double scale = objective_.gradient_scale();
    plan_ = make_descent_plan(command, setup, objective_);
    plan_.stopping.gradient_scale = scale;
    const Index steps = plan_.stopping.steps;
    record_every_ = cadence(command, "record-every", (steps + 999) / 1000);
    checkpoint_every_ = cadence(command, "checkpoint-every", (steps + 99) / 100);
    const double trajectory = (static_cast<double>(steps) / static_cast<double>(checkpoint_every_) + 2) *
                              8.0 * static_cast<double>(setup.point.weights.size());
    if (trajectory > static_cast<double>(command.memory()))
      throw InputError("--checkpoint-every " + std::to_string(checkpoint_every_) + ": the trajectory needs " +
                       bytes_text(trajectory) + ", --memory allows " +
                       bytes_text(static_cast<double>(command.memory())) + "; give a larger number");
    constexpr double kColumns = 64;  // of a record, about
    const double records =
        (static_cast<double>(steps) / static_cast<double>(record_every_) + 2) * 8.0 * kColumns;
    if (records > static_cast<double>(command.memory()))
      throw InputError("--record-every " + std::to_string(record_every_) + ": the records need " +
                       bytes_text(records) + ", --memory allows " +
                       bytes_text(static_cast<double>(command.memory())) + "; give a larger number");
    options_.ntk = command.get<bool>("ntk");
    options_.certify = command.get<bool>("certify");
    options_.one_step = plan_.method == "gd" || plan_.method == "line-search";
    options_.memory = static_cast<double>(command.memory());
  }

  void go() {
    const bool resume = command_.get<bool>("resume");
    specification_ = specification_of(command_, setup_);
    output_.check(specification_);
    if (final_) final_->check(specification_);
    CheckpointFiles files(output_.path(), specification_, setup_.point.weights.size(), resume);
    if (output_.finished()) {
      files.remove();
      command_.message(command_.output() + " is finished");
      return;
    }
    first_loss_ = run_.at.loss;
    if (files.found()) {
      restore(*files.found());
      command_.message("going on from step " + std::to_string(run_.step));
    } else {
      record();
      settled_ = objective_.counts();
      files.save(checkpoint(), objective_.point_at(run_.at.theta).weights);
    }
    const Index begin = run_.step;
    const Progress progress = command_.progress("steps");
    status_ =
        descend(objective_, *plan_.descent, run_, plan_.stopping, [&](const Descent&, const Move& move) {
          account(move);
          if (run_.step % record_every_ == 0) record();
          settled_ = objective_.counts();
          if (run_.step % checkpoint_every_ == 0)
            files.save(checkpoint(), objective_.point_at(run_.at.theta).weights);
          report(progress, run_.step - begin, plan_.stopping.steps - begin);
        });
    spent_ = objective_.counts();
    if (recorded_ != run_.step) record();
    if (!files.trajectory().contains(run_.step))
      files.save(checkpoint(), objective_.point_at(run_.at.theta).weights);
    say();
    write(files.trajectory());
    files.remove();
    if (status_.reason == DescentStatus::Reason::not_finite)
      throw WorkError(too_large_ + "; the run up to there is in " + command_.output());
  }

 private:
  /// Counts steps whose loss a theorem bounds, and those that break the bound by more than rounding.
  void account(const Move& move) {
    since_.last = move;
    since_.loss_before = last_loss_;
    const Guarantee guarantee = guarantee_of(setup_.point, move, last_loss_, run_.at.loss);
    if (guarantee != Guarantee::none) ++guaranteed_;
    if (guarantee == Guarantee::broken) ++broken_;
    if (run_.at.loss > last_loss_) ++rises_;
    last_loss_ = run_.at.loss;
  }

  /// Where the run is: its last point, which most methods leave the objective at.
  const Linearization<double>& here() {
    objective_.at(run_.at.theta);
    return objective_.here();
  }

  DescentRecord measured() {
    return measure_record(options_, run_, here(), objective_.counts(), start_, since_);
  }

  void record() {
    const DescentRecord record = measured();
    const Row row = row_of(record, setup_.parameters());
    names_ = row.names();
    rows_.push_back(row.values());
    recorded_ = since_.record_step = run_.step;
    last_loss_ = since_.record_loss = run_.at.loss;
    if (options_.certify && certified_ < 0 && record.certified->certificate.passes) certified_ = run_.step;
  }

  // Names of the numbers that go from step to step, for checkpoints.
  template <class Visit>
  void visit(const Visit& visit) {
    visit("recorded", recorded_), visit("guaranteed", guaranteed_), visit("broken", broken_);
    visit("rises", rises_), visit("certified", certified_), visit("last_loss", last_loss_);
    visit("record_step", since_.record_step), visit("record_loss", since_.record_loss);
    visit("loss_before", since_.loss_before), visit("last_step", since_.last.step);
    visit("last_length", since_.last.length), visit("last_bound", since_.last.loss_bound);
    StepsTaken& taken = run_.taken;
    visit("shortened", taken.shortened), visit("first_step", taken.first),
        visit("first_share", taken.first_share);
    visit("smallest_step", taken.smallest), visit("largest_step", taken.largest);
    visit("largest_share", taken.largest_share);
  }

  Checkpoint checkpoint() {
    Checkpoint c{run_, settled_, {}, rows_};
    visit([&](const char* name, auto& value) { c.numbers[name] = static_cast<double>(value); });
    return c;
  }

  void restore(const Checkpoint& c) {
    // What was spent on the way here: not also what it takes to get here again.
    Counts spent = objective_.counts();
    run_ = c.run;
    run_.at = *objective_.at(c.run.at.theta);
    spent = {c.counts.losses - objective_.counts().losses, c.counts.gradients - objective_.counts().gradients,
             c.counts.products - objective_.counts().products};
    objective_.add_counts(spent);
    settled_ = c.counts;
    rows_ = c.records;
    visit([&](const char* name, auto& value) {
      const auto found = c.numbers.find(name);
      if (found == c.numbers.end())
        throw InputError(command_.output() + ".checkpoint: /numbers/" + name +
                         " is missing; delete it, and the journal");
      value = static_cast<std::decay_t<decltype(value)>>(found->second);
    });
    names_ = row_of(measured(), setup_.parameters()).names();
  }

  void say() {
    using Reason = DescentStatus::Reason;
    const bool lost = status_.reason == Reason::not_finite;
    if (lost || (plan_.step_may_be_too_large && above(run_.at.loss, first_loss_))) too_large_ = too_large();
    command_.say((status_.converged()                 ? "converged "
                  : lost                              ? "stopped "
                  : status_.reason == Reason::stalled ? "stalled "
                                                      : "not converged ") +
                 status_.text);
    command_.say("loss f = " + number(run_.at.loss, 10) + ", from " + number(first_loss_, 10) +
                 "; |grad f| = " + number(run_.at.gradient.stableNorm(), 4) + ", distance from the start " +
                 number((run_.at.theta - start_).stableNorm(), 4));
    if (const auto known = global_minimum(setup_)) command_.say(text(*known) + ", " + gap_text(known->loss));
    command_.verdict("converged", status_.converged());
    command_.verdict("certified", certified_ >= 0);
    if (!too_large_.empty()) command_.say(too_large_);
    if (guaranteed_ > 0)
      command_.say(broken_ == 0
                       ? "the guaranteed decrease held in all " + std::to_string(guaranteed_) + " steps"
                       : "the guaranteed decrease was missed in " + std::to_string(broken_) + " of " +
                             std::to_string(guaranteed_) + " steps: please report this");
    else if (rises_ > 0 && too_large_.empty())
      command_.say("the loss rose in " + std::to_string(rises_) + " of " + std::to_string(run_.step) +
                   " steps");
    if (options_.certify)
      command_.say(
          certified_ < 0
              ? "convergence to zero loss is not proven at any record; the closest misses by a factor " +
                    number(1 / best_margin(), 4)
              : "from step " + std::to_string(certified_) +
                    " on, convergence to zero loss is proven (for gradient descent with the certified "
                    "step from there)");
    if (run_.step > 0) command_.say(steps_text());
    const Counts& c = spent_;  // not what the messages take
    command_.say(std::to_string(c.gradients) + " gradients, " + std::to_string(c.losses) + " losses, " +
                 std::to_string(c.products) + " Hessian products");
    command_.say(setup_.text());
  }

  std::string steps_text() const {
    const StepsTaken& t = run_.taken;
    const auto share = [](double value) {
      return std::isfinite(value) ? number(value, 3) + " |theta|" : "from 0";
    };
    return "steps " + number(t.smallest, 4) + (t.largest > t.smallest ? " to " + number(t.largest, 4) : "") +
           ", the first " + number(t.first, 4) + " (" + share(t.first_share) + "), the longest " +
           share(t.largest_share) + "; " + std::to_string(t.shortened) + " of " + std::to_string(run_.step) +
           " were shortened" +
           (t.first_share > 1 && std::isfinite(t.first_share)
                ? "; the first is longer than the weights: see --step flow"
                : "");
  }

  std::string gap_text(double minimum) const {
    return run_.at.loss > minimum ? "the run ended " + number(run_.at.loss - minimum, 4) + " above it"
                                  : "reached";
  }

  /// That the step is too large, and one that is not: it is tried.
  std::string too_large() {
    constexpr Index kTrial = 1000;
    const bool lost = status_.reason == DescentStatus::Reason::not_finite;
    if (!plan_.step_may_be_too_large) return status_.text;
    const auto share_of_step = [&](double share) {
      OptionValues values = command_;
      return std::move(make_descent_plan(values, setup_, objective_, share).descent);
    };
    Stopping stopping = plan_.stopping;
    stopping.steps = std::min(stopping.steps, kTrial);
    const auto trial =
        descend_in_shorter_steps(objective_, share_of_step, *objective_.at(start_), status_.step, stopping);
    return (automatic_step(command_) ? "the automatic step " + number(status_.step, 4)
                                     : "--step " + command_.get<std::string>("step")) +
           " is too large: " +
           (lost ? status_.text
                 : "the loss ended at " + number(run_.at.loss, 4) + ", above " + number(first_loss_, 4)) +
           (trial ? "; with --step " + number(trial->status.step, 4) + " it fell in a trial of " +
                        std::to_string(trial->run.step) + " steps"
                  : "");
  }

  double best_margin() const {
    const auto margin = static_cast<std::size_t>(
        std::find(names_.begin(), names_.end(), "certificate/margin") - names_.begin());
    double best = 0;
    for (const auto& row : rows_) best = std::max(best, row[margin]);
    return best;
  }

  void write(const std::map<Index, std::vector<double>>& trajectory) {
    const Vector<double> weights = objective_.point_at(run_.at.theta).weights;
    if (final_) write_final(weights);
    hdf5::Writer file(output_.path(), output_.may_replace());
    if (options_.certify) file.group("/entry/certificate", "NXcollection");
    write_records(file, names_, rows_);
    file.write("/entry/status", std::string(status_.converged() ? "converged" : reason_name()));
    file.write("/entry/guaranteed_steps", static_cast<std::int64_t>(guaranteed_));
    file.write("/entry/broken_guarantees", static_cast<std::int64_t>(broken_));
    write_steps(file);
    if (options_.certify) file.write("/entry/certificate/first_step", static_cast<std::int64_t>(certified_));
    write_trajectory(file, trajectory);
    write_frame(file, command_, setup_, kIntroduction.name, "Descent: " + plan_.method, "run");
    write_specification(file, "/entry/provenance", specification_);
    file.commit();
  }

  void write_steps(hdf5::Writer& file) const {
    const StepsTaken& t = run_.taken;
    file.group("/entry/steps", "NXcollection");
    file.write("/entry/steps/shortened", static_cast<std::int64_t>(t.shortened));
    for (const auto& [name, value] : {std::pair{"first", t.first},
                                      {"first_share", t.first_share},
                                      {"smallest", t.smallest},
                                      {"largest", t.largest},
                                      {"largest_share", t.largest_share}})
      file.write(std::string("/entry/steps/") + name, value);
  }

  std::string reason_name() const {
    switch (status_.reason) {
      case DescentStatus::Reason::not_finite:
        return "not finite";
      case DescentStatus::Reason::stalled:
        return "stalled";
      default:
        return "not converged";
    }
  }

  void write_trajectory(hdf5::Writer& file, const std::map<Index, std::vector<double>>& trajectory) const {
    const AttentionSpec s = setup_.spec();
    file.group("/trajectory");
    for (const auto& [name, size] : {std::pair<const char*, Index>{"H", s.heads},
                                     {"d", s.head_dim},
                                     {"D", s.embedding},
                                     {"D_out", s.outputs}})
      file.attribute("/trajectory", name, static_cast<std::int64_t>(size));
    std::vector<std::int64_t> steps;
    std::vector<double> theta;
    for (const auto& [step, weights] : trajectory) {
      steps.push_back(step);
      theta.insert(theta.end(), weights.begin(), weights.end());
    }
    file.write("/trajectory/step", steps);
    file.write("/trajectory/theta", theta.data(),
               {static_cast<Index>(steps.size()), setup_.point.weights.size()});
  }

  /// The problem with the last weights. It is written before the run, so that a run that is there has it.
  void write_final(const Vector<double>& weights) const {
    hdf5::Writer file(final_->path(), final_->may_replace());
    write_problem_at(file, command_, setup_, weights);
    write_specification(file, "/provenance", specification_);
    file.commit();
  }

  Command& command_;
  const Setup& setup_;
  RunOutput output_;
  std::optional<RunOutput> final_;  ///< the problem with the last weights
  Specification specification_;
  ModelObjective objective_;
  Vector<double> start_;
  Descent run_;
  DescentPlan plan_;
  RecordOptions options_;
  Index record_every_ = 1, checkpoint_every_ = 1;
  std::vector<std::string> names_;
  std::vector<std::vector<double>> rows_;
  SinceRecord since_;
  Index recorded_ = -1, guaranteed_ = 0, broken_ = 0, rises_ = 0, certified_ = -1;
  double first_loss_ = 0, last_loss_ = 0;
  DescentStatus status_;
  Counts settled_;  ///< up to the last step: what tries another one in vain is tried again after a kill
  Counts spent_;
  std::string too_large_;
};

void body(Command& command) {
  add_descent_options(command);
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
  command.add_output_option("final", "write the last weights as a problem file");
  add_model_options(command);
  command.add_memory_option();
  if (!command.parse()) return;
  RunOutput output(command, command.output(), "/entry/provenance");
  std::optional<RunOutput> final;
  if (command.given("final")) final.emplace(command, command.get<std::string>("final"), "/provenance");
  const Setup setup = read_setup(command);
  use_one_thread_for_small_work(setup, command.get<bool>("ntk") || command.get<bool>("certify") ||
                                           command.get<std::string>("step") == "guaranteed");
  Training(command, setup, std::move(output), std::move(final)).go();
}

}  // namespace

int main(int argc, char** argv) {
  return run_tool(kIntroduction, argc, argv, body);
}
