/// basin-train: descent of the loss, on record.
#include <omp.h>

#include <algorithm>
#include <cmath>
#include <optional>

#include "basin/hdf5/problem_file.h"
#include "basin/linalg/errors.h"
#include "basin/model/row_copies.h"
#include "basin/ntk/trained_kernel.h"
#include "basin/stationary/multi_start.h"
#include "basin/stationary/separation.h"
#include "common/command/given_weights.h"
#include "common/command/held_out.h"
#include "common/command/run.h"
#include "common/command/run_output.h"
#include "common/command/tensors.h"
#include "common/descent/checkpoint.h"
#include "common/descent/epochs.h"
#include "common/descent/file.h"
#include "common/descent/global_minimum.h"
#include "common/descent/options.h"
#include "common/descent/outlook.h"
#include "common/descent/records.h"
#include "common/descent/summary.h"
#include "common/descent/training_options.h"

using namespace basin;
using namespace basin::tools;

namespace {

const Introduction kIntroduction = {
    "basin-train", "deterministic descent of the loss in the trained blocks, every step of it accounted for",
    "PROBLEM.h5 -o RUN.h5 [--method METHOD] [--step ETA | --batch B --epochs E] [options]",
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
ratio |grad f|^2 / (2 f), rates, norms of the blocks and saturation of every attention layer; with --ntk the
smallest eigenvalue of the NTK, enclosed; with --certify the ball certificate: from where on convergence
to zero loss is proven. Every --checkpoint-every steps it gets the weights (/trajectory/theta). A run that
was stopped or killed goes on with --resume, from its last checkpoint, and ends with the same bits. --final
writes the last weights as a problem file that every other tool takes.

With --batch B training is by mini-batches instead, for --epochs E: --method sgd, adam or adamw with the parameters and
defaults of PyTorch (--lr, --momentum, --nesterov, --betas, --weight-decay, ...), a --schedule, clipping; records are of
the end of each epoch, loss and accuracy on the data and on what the problem holds out.
)",
    R"(  basin-problem teacher -o problem.h5
  basin-train problem.h5 -o run.h5 --method lbfgs --final end.h5
  basin-hessian end.h5 -o hessian.h5 --smallest 3
  basin-train bytes.h5 -o run.h5 --batch 32 --epochs 20 --method adam --lr 0.001 --final end.h5
)"};

/// Work in pieces of microseconds takes longer shared than alone; the results do not depend on it.
void use_one_thread_for_small_work(const Setup& setup, bool with_kernels) {
  constexpr double kSmall = 1e7;  // operations a step: about a millisecond
  const auto rows = static_cast<double>(setup.point.data->X.rows()),
             m = static_cast<double>(setup.point.output_size());
  const auto layer = setup.single_attention();
  const Index scores = layer ? layer->tokens * layer->heads * layer->head_dim : 0;
  const double step = 6 * rows * static_cast<double>(setup.point.weights.size() + scores);
  if (step + (with_kernels ? m * m * m : 0) < kSmall) omp_set_num_threads(1);
}

/// A run, and the files it goes on from and ends in.
class Trainer {
 public:
  Trainer(Command& command, const Setup& setup, RunOutput output, std::optional<RunOutput> final)
      : command_(command),
        setup_(setup),
        output_(std::move(output)),
        final_(std::move(final)),
        objective_(setup.point, command.get<std::string>("method") == "newton" ? command.memory() : 0,
                   setup.theory->natural_length(setup.point)) {
    if (command.get<bool>("certify") && !setup.single_attention())
      throw InputError("--certify: known of one attention layer under squared loss alone" +
                       known_of_last_layer(setup));
    if (setup.held_out) held_out_.emplace(setup);
    run_ = start_run(objective_, setup.theory, setup.parameters().extract(setup.point.weights));
    require_representable(std::max(setup.point.target_size(), objective_.here().outputs_norm()),
                          setup.input + ": ");
    const double scale = objective_.gradient_scale();
    plan_ = make_descent_plan(command, setup, objective_);
    plan_.stopping.gradient_scale = scale;
    options_ = read_training_options(command, plan_, setup.point.weights.size());
    training_.certify = options_.records.certify;
    training_.first_loss = run_.run.at.loss;
  }

  void go() {
    specification_ = training_specification(command_, setup_);
    output_.check(specification_);
    if (final_) final_->check(specification_);
    CheckpointFiles files(output_.path(), specification_, setup_.point.weights.size(),
                          command_.get<bool>("resume"));
    if (output_.finished()) {
      if (final_ && !final_->finished())
        throw InputError("--final " + final_->path() + ": " + output_.path() +
                         " is finished, and was not written with it; expected --overwrite, to run again");
      files.remove();
      command_.message(command_.output() + " is finished");
      return;
    }
    begin(files);
    descend(files);
    training_.too_large = too_large(command_, setup_, plan_, objective_, training_);
    training_.known = global_minimum(setup_);
    say_if_any(outlook(files.trajectory()));  // first, as it is the answer
    say_training(command_, training_);
    say_end();
    command_.say(setup_.text());
    write(files.trajectory());
    files.remove();
    if (training_.status.reason == DescentStatus::Reason::not_finite)
      throw WorkError(training_.too_large + "; the run up to there is in " + command_.output());
  }

 private:
  /// Of where the run is.
  Row row_at(const DescentRecord& record) {
    Row row = row_of(record, setup_.parameters());
    if (held_out_) {
      const HeldOut::Values there = held_out_->at(objective_.point_at(run_.run.at.theta).weights);
      row.add("held_out_loss", there.loss);
      if (!std::isnan(there.accuracy)) row.add("held_out_accuracy", there.accuracy / 100);
    }
    return row;
  }

  void keep(const DescentRecord& record) {
    const Row row = row_at(record);
    training_.names = row.names();
    training_.rows.push_back(row.values());
  }

  void save(CheckpointFiles& files) {
    files.save(checkpoint_at(run_, training_.rows), objective_.point_at(run_.run.at.theta).weights);
  }

  /// At the start, or where the last checkpoint is.
  void begin(CheckpointFiles& files) {
    if (const auto& found = files.found()) {
      go_back_to(*found, checkpoint_of(command_.output()), objective_, run_);
      training_.rows = found->records;
      training_.names = row_at(measure_record(objective_, options_.records, run_)).names();
      command_.message("going on from step " + std::to_string(run_.run.step));
    } else {
      keep(add_record(objective_, options_.records, run_));
      run_.account.settled = objective_.counts();
      save(files);
    }
  }

  void descend(CheckpointFiles& files) {
    const Index begin = run_.run.step, steps = plan_.stopping.steps;
    const Progress progress = command_.progress("steps");
    const Recording recording = {options_.records, options_.record_every,
                                 [&](const DescentRecord& record) { keep(record); }};
    training_.status = descend_on_record(objective_, *plan_.descent, run_, plan_.stopping, recording, [&] {
      if (run_.run.step % options_.checkpoint_every == 0) save(files);
      report(progress, run_.run.step - begin, steps - begin);
    });
    if (!files.trajectory().contains(run_.run.step)) save(files);
  }

  /// Where the run is going: to the infimum of a loss of classes, or to infinity above it; empty where to
  /// neither. f is left where the run is.
  std::string outlook(const std::map<Index, std::vector<double>>& trajectory) {
    const Descent& run = run_.run;
    if (!objective_.at(run.at.theta)) return "";
    const LossFacts& facts = objective_.facts();
    const double least = facts.centred ? least_loss_of_labels(setup_.point) : facts.infimum;
    const Separation s = separation_at(objective_.here());
    const bool at_bound = facts.centred && least > 0 && run.at.loss - least <= kNearBound * least;
    training_.global_valley = s.holds() || at_bound;
    if (at_bound)
      return "the loss is within " + number(std::max(run.at.loss - least, 0.0), 2) +
             " of the least that these labels allow: no more steps, and no other start, can lower it by more";
    if (s.holds())
      return "every row is in its class, by a margin of " + with_error(s.margin, s.error) +
             " or more: no point like that is stationary, as the last layer grows the loss falls strictly to "
             "0. This is the global valley: nothing is wrong, and more steps lead further along it";
    const auto half = std::prev(trajectory.upper_bound(run.step / 2));
    if (half->first == run.step) return "";
    const Vector<double> weights =
        Eigen::Map<const Vector<double>>(half->second.data(), setup_.point.weights.size());
    const std::optional<Iterate> before = objective_.at(setup_.parameters().extract(weights));
    objective_.at(run.at.theta);
    return before ? outlook_text(outlook_of(*setup_.theory, setup_.point, run_.start, *before, run.at, least),
                                 least, run.step - half->first)
                  : "";
  }
  /// What else there is to know of the end.
  void say_end() {
    for (const std::string& line :
         attention_lines(setup_.theory->layer_saturation(objective_.point_at(run_.run.at.theta))))
      command_.say(line);
    if (objective_.facts().centred) say_if_any(contradictions_text(setup_));
    if (held_out_) say_held_out();
  }
  /// How the data that are held out did, along the records.
  void say_held_out() {
    const auto column = [&](const std::string& name) {
      return static_cast<std::size_t>(std::find(training_.names.begin(), training_.names.end(), name) -
                                      training_.names.begin());
    };
    const std::size_t loss = column("held_out_loss"), accuracy = column("held_out_accuracy");
    const auto values = [&](const std::vector<double>& row) {
      return HeldOut::Values{row[loss], accuracy < row.size() ? 100 * row[accuracy] : kNaN};
    };
    const auto best = std::min_element(training_.rows.begin(), training_.rows.end(),
                                       [&](const auto& a, const auto& b) { return a[loss] < b[loss]; });
    command_.say("on the " + std::to_string(held_out_->samples()) +
                 " samples held out: " + text(values(training_.rows.back())) + "; at the start " +
                 text(values(training_.rows.front())) + "; of the records the lowest loss " +
                 number((*best)[loss], 6) + " at step " + number((*best)[column("step")]));
  }
  void say_if_any(const std::string& line) {
    if (!line.empty()) command_.say(line);
  }

  void write(const std::map<Index, std::vector<double>>& trajectory) {
    if (final_)  // before the run, so that a run that is there has it
      write_final_weights(command_, setup_, specification_, *final_,
                          objective_.point_at(run_.run.at.theta).weights);
    hdf5::Writer file(output_.path(), output_.may_replace());
    write_training(file, training_);
    if (options_.records.ntk && rows_of_loss(*setup_.point.model) == KernelRows::centred)
      file.write("/entry/ntk_rows", std::string("logit differences"));
    write_trajectory(file, setup_, trajectory);
    write_frame(file, command_, setup_, kIntroduction.name, "Descent: " + plan_.method, "run");
    write_specification(file, "/entry/provenance", specification_);
    file.commit();
  }

  Command& command_;
  const Setup& setup_;
  RunOutput output_;
  std::optional<RunOutput> final_;  ///< the problem with the last weights
  Specification specification_;
  ModelObjective objective_;
  std::optional<HeldOut> held_out_;
  DescentPlan plan_;
  TrainingOptions options_;
  Training training_;
  RecordedRun& run_ = training_.descent;
};

void body(Command& command) {
  add_descent_options(command);
  add_batch_options(command);
  add_training_options(command);
  add_model_options(command);
  add_at_option(command);
  command.add_memory_option();
  if (!command.parse()) return;
  RunOutput output(command, command.output(), "/entry/provenance");
  std::optional<RunOutput> final;
  if (command.given("final")) final.emplace(command, command.get<std::string>("final"), "/provenance");
  const Setup setup = read_setup_at(command);
  if (final && is_safetensors(final->path()) && !setup.checkpoint)
    throw InputError("--final " + final->path() + ": " + setup.input +
                     " came from no checkpoint; expected a name that ends in .h5");
  use_one_thread_for_small_work(setup, command.get<bool>("ntk") || command.get<bool>("certify") ||
                                           command.get<std::string>("step") == "guaranteed");
  if (command.given("batch")) return train_by_batches(command, setup, std::move(output), std::move(final));
  refuse_batch_options(command);
  Trainer(command, setup, std::move(output), std::move(final)).go();
}

}  // namespace

int main(int argc, char** argv) {
  return run_tool(kIntroduction, argc, argv, body);
}
