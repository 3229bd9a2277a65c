#include "common/descent/epochs.h"

#include <algorithm>
#include <cmath>

#include "basin/linalg/errors.h"
#include "basin/linalg/memory.h"
#include "basin/model/labels.h"
#include "basin/training/mini_batches.h"
#include "basin/training/optimizer.h"
#include "common/command/held_out.h"
#include "common/command/tensors.h"
#include "common/command/words.h"
#include "common/descent/checkpoint.h"
#include "common/descent/file.h"
#include "common/descent/records.h"
#include "common/descent/training_options.h"

namespace basin::tools {
namespace {

const std::vector<std::string> kBatchOptions = {
    "epochs",       "order",    "lr",      "dampening",  "nesterov",  "betas",     "eps",
    "weight-decay", "schedule", "warm-up", "clip-value", "clip-norm", "keep-every"};

double at_least_zero(const OptionValues& values, const std::string& option) {
  const auto value = values.get<double>(option);
  if (!(value >= 0) || !std::isfinite(value))
    throw InputError("--" + option + " " + number(value) + ": expected a number from 0");
  return value;
}

template <class Kind>
Kind one_of(const OptionValues& values, const std::string& option,
            const std::vector<std::pair<std::string, Kind>>& kinds) {
  const auto word = values.get<std::string>(option);
  std::string expected;
  for (const auto& [name, kind] : kinds) {
    if (name == word) return kind;
    expected += (expected.empty() ? "" : ", ") + name;
  }
  throw InputError("--" + option + " " + word + ": expected one of " + expected);
}

OptimizerOptions optimizer_of(Command& command, std::string& name) {
  using Kind = OptimizerOptions::Kind;
  name = command.given("method") ? command.get<std::string>("method") : "sgd";
  command.resolve("method", name);
  OptimizerOptions o;
  if (name == "sgd")
    o.kind = Kind::sgd;
  else if (name == "adam" || name == "adamw")
    o.kind = name == "adam" ? Kind::adam : Kind::adamw;
  else
    throw InputError("--method " + name + ": expected sgd, adam or adamw with --batch");
  if (o.kind == Kind::sgd)
    refuse(command, {"betas", "eps"}, "under --method sgd");
  else
    refuse(command, {"momentum", "dampening", "nesterov"}, "under --method " + name);
  o.momentum = command.given("momentum") ? at_least_zero(command, "momentum") : 0;
  command.resolve("momentum", number(o.momentum));
  o.dampening = at_least_zero(command, "dampening");
  o.nesterov = command.get<bool>("nesterov");
  if (o.nesterov && (o.momentum <= 0 || o.dampening != 0))
    throw InputError("--nesterov: expected a --momentum above 0, and no --dampening");
  const std::vector<std::string> betas = split(command.get<std::string>("betas"), ',');
  const auto beta = [&](std::size_t i) {
    return i < betas.size() ? parse_number(betas[i]).value_or(-1) : -1;
  };
  o.beta1 = beta(0), o.beta2 = beta(1);
  if (betas.size() != 2 || !(o.beta1 >= 0 && o.beta1 < 1 && o.beta2 >= 0 && o.beta2 < 1))
    throw InputError("--betas " + command.get<std::string>("betas") +
                     ": expected two numbers from 0 to below 1, say 0.9,0.999");
  o.eps = at_least_zero(command, "eps");
  o.weight_decay = command.given("weight-decay") ? at_least_zero(command, "weight-decay")
                   : o.kind == Kind::adamw       ? 0.01
                                                 : 0;
  command.resolve("weight-decay", number(o.weight_decay));
  o.clip_value = at_least_zero(command, "clip-value");
  o.clip_norm = at_least_zero(command, "clip-norm");
  return o;
}

/// A run by epochs; its state is that of a Checkpoint.
class EpochTrainer {
 public:
  EpochTrainer(Command& command, const Setup& setup)
      : command_(command),
        setup_(setup),
        samples_(setup.point.data->samples),
        classes_(labelled(*setup.point.data)),
        losses_(setup.point, ForwardPass<double>(setup.point), 0, classes_) {
    refuse(command,
           {"step", "steps", "tolerance", "loss-tolerance", "beta1", "beta2", "epsilon", "pairs",
            "record-every", "checkpoint-every", "ntk", "certify", "assert"},
           "with --batch");
    batch_ = command.get<Index>("batch");
    if (batch_ < 1 || batch_ > samples_)
      throw InputError("--batch " + std::to_string(batch_) + ": expected 1 to " + std::to_string(samples_) +
                       ", the samples of " + setup.input);
    epochs_ = command.get<Index>("epochs");
    if (epochs_ < 0 || epochs_ > 10000000)
      throw InputError("--epochs " + std::to_string(epochs_) + ": expected 0 to 10000000");
    shuffled_ = one_of<bool>(command, "order", {{"shuffled", true}, {"given", false}});
    optimizer_ = optimizer_of(command, method_);
    batches_ = (samples_ + batch_ - 1) / batch_;
    using Kind = Schedule::Kind;
    schedule_.kind = one_of<Kind>(
        command, "schedule",
        {{"constant", Kind::constant}, {"cosine", Kind::cosine}, {"one-cycle", Kind::one_cycle}});
    const double lr = command.given("lr")                              ? at_least_zero(command, "lr")
                      : optimizer_.kind == OptimizerOptions::Kind::sgd ? 0.01
                                                                       : 0.001;
    command.resolve("lr", number(lr, 17));
    schedule_.lr = lr;
    schedule_.steps = std::max<Index>(1, epochs_ * batches_);
    schedule_.warm_up = command.get<Index>("warm-up");
    if (schedule_.warm_up < 0 || schedule_.warm_up > schedule_.steps)
      throw InputError("--warm-up " + std::to_string(schedule_.warm_up) + ": expected 0 to " +
                       std::to_string(schedule_.steps) + ", the steps of the run");
    if (schedule_.kind == Kind::one_cycle)
      refuse(command, {"warm-up"}, "under --schedule one-cycle, which has its own");
    keep_every_ = command.given("keep-every") ? command.get<Index>("keep-every")
                                              : std::max<Index>(1, (epochs_ + 99) / 100);
    if (keep_every_ < 1)
      throw InputError("--keep-every " + std::to_string(keep_every_) + ": expected at least 1");
    command.resolve("keep-every", std::to_string(keep_every_));
    const double kept = 8.0 * static_cast<double>(setup.point.weights.size()) *
                        (static_cast<double>(epochs_) / static_cast<double>(keep_every_) + 2);
    if (kept > static_cast<double>(command.memory()))
      throw InputError("--keep-every " + std::to_string(keep_every_) + ": the weights that are kept need " +
                       bytes_text(kept) + ", --memory allows " +
                       bytes_text(static_cast<double>(command.memory())) + "; give a larger number");
    if (setup.held_out) held_out_.emplace(setup);
    state_.run.at.theta = setup.parameters().extract(setup.point.weights);
  }

  void go(RunOutput output, std::optional<RunOutput> final) {
    const Specification specification = training_specification(command_, setup_);
    output.check(specification);
    if (final) final->check(specification);
    CheckpointFiles files(output.path(), specification, setup_.point.weights.size(),
                          command_.get<bool>("resume"));
    if (output.finished()) {
      if (final && !final->finished())
        throw InputError("--final " + final->path() + ": " + output.path() +
                         " is finished, and was not written with it; expected --overwrite, to run again");
      files.remove();
      return command_.message(output.path() + " is finished");
    }
    if (const auto& found = files.found()) {
      state_ = *found;
      command_.message("going on from epoch " + std::to_string(epoch()));
    } else {
      record(kNaN);
      if (!std::isfinite(state_.records.front()[1]))
        throw WorkError(setup_.input + ": the loss is not finite before the first step");
      files.save(state_, weights());
    }
    const Index first = epoch();
    const Progress progress = command_.progress("epochs");
    std::string failure;
    while (epoch() < epochs_ && failure.empty()) {
      failure = run_epoch();
      if (!failure.empty()) break;
      if (epoch() % keep_every_ == 0 || epoch() == epochs_) files.save(state_, weights());
      report(progress, epoch() - first, epochs_ - first);
    }
    if (!failure.empty()) {
      state_ = last_good_;
      if (!files.trajectory().contains(state_.run.step)) files.save(state_, weights());
    }
    say(failure);
    if (final) write_final_weights(command_, setup_, specification, *final, weights());
    hdf5::Writer file(output.path(), output.may_replace());
    write_records(file, names(), state_.records);
    file.write("/entry/status", std::string(failure.empty() ? "done" : "not finite"));
    write_trajectory(file, setup_, files.trajectory());
    write_frame(file, command_, setup_, "basin-train",
                "Training: " + method_ + ", batches of " + std::to_string(batch_), "run");
    write_specification(file, "/entry/provenance", specification);
    file.commit();
    files.remove();
    if (!failure.empty())
      throw WorkError(failure + "; the run up to epoch " + std::to_string(epoch()) + " is in " +
                      output.path());
  }

 private:
  Index epoch() const { return state_.run.step / std::max<Index>(1, batches_); }
  Vector<double> weights() const { return setup_.point.at(state_.run.at.theta).weights; }

  std::vector<std::string> names() const {
    std::vector<std::string> all = {"step", "loss", "epoch", "lr", "batch_loss"};
    if (classes_) all.emplace_back("accuracy");
    if (held_out_) all.emplace_back("held_out_loss");
    if (held_out_ && held_out_classes_) all.emplace_back("held_out_accuracy");
    return all;
  }

  /// Of the end of an epoch, or the start.
  void record(double batch_loss) {
    const Vector<double> now = weights();
    const PointLosses::Values there = losses_.at(1, [&](Index, Vector<double>& to) { to = now; });
    const Index t = state_.run.step;
    std::vector<double> row = {static_cast<double>(t), there.losses[0], static_cast<double>(epoch()),
                               t < schedule_.steps ? schedule_.at(t) : schedule_.at(schedule_.steps - 1),
                               batch_loss};
    if (classes_) row.push_back(there.accuracies[0] / 100);
    if (held_out_) {
      const HeldOut::Values other = held_out_->at(now);
      held_out_classes_ = !std::isnan(other.accuracy) || held_out_classes_;
      row.push_back(other.loss);
      if (held_out_classes_) row.push_back(other.accuracy / 100);
    }
    state_.records.push_back(std::move(row));
  }

  /// All batches once; why that failed, if it did.
  std::string run_epoch() {
    last_good_ = state_;
    const Index now = epoch();
    const std::vector<Index> order = epoch_order(samples_, shuffled_, command_.seed(), now);
    double sum = 0;
    for (Index b = 0; b < batches_; ++b) {
      const auto from = order.begin() + b * batch_, to = order.begin() + std::min(samples_, (b + 1) * batch_);
      const std::string where = "epoch " + std::to_string(now + 1) + ", batch " + std::to_string(b + 1) +
                                " of " + std::to_string(batches_) + " (step " +
                                std::to_string(state_.run.step + 1) + ")";
      ModelPoint<double> point = setup_.point.at(state_.run.at.theta);
      point.data = std::make_shared<const Data<double>>(samples_of(*setup_.point.data, {from, to}));
      try {
        const Linearization<double> at = point.linearize({.keep = false});
        sum += at.loss() * static_cast<double>(to - from);
        optimizer_step(optimizer_, schedule_.at(state_.run.step), at.gradient(), state_.run.at.theta,
                       state_.run.memory);
        if (!std::isfinite(at.loss()) || !state_.run.at.theta.allFinite())
          return where + ": a number is not finite";
      } catch (const WorkError& error) {
        return where + ": " + error.what();
      } catch (const InputError& error) {
        return where + ": " + error.what();
      }
      ++state_.run.step;
    }
    record(sum / static_cast<double>(samples_));
    return "";
  }

  void say(const std::string& failure) {
    const std::vector<std::string> columns = names();
    const auto value = [&](const std::vector<double>& row, const std::string& name) {
      const auto at = std::find(columns.begin(), columns.end(), name);
      return at == columns.end() ? kNaN : row[static_cast<std::size_t>(at - columns.begin())];
    };
    const auto described = [&](const std::vector<double>& row, const std::string& prefix) {
      return text(HeldOut::Values{value(row, prefix + "loss"), 100 * value(row, prefix + "accuracy")});
    };
    const std::vector<double>&start = state_.records.front(), &end = state_.records.back();
    command_.say((failure.empty() ? "after " : "stopped after ") + std::to_string(epoch()) + " epochs, " +
                 std::to_string(state_.run.step) + " steps of " + method_ + ": on the " +
                 std::to_string(samples_) + " samples trained on " + described(end, "") +
                 (held_out_ ? "; on the " + std::to_string(held_out_->samples()) + " held out " +
                                  described(end, "held_out_")
                            : ""));
    if (!failure.empty()) command_.say(failure);
    command_.say("at the start " + described(start, "") +
                 (held_out_ ? "; held out " + described(start, "held_out_") : ""));
    if (held_out_) {
      const auto best =
          std::min_element(state_.records.begin(), state_.records.end(), [&](const auto& a, const auto& b) {
            return value(a, "held_out_loss") < value(b, "held_out_loss");
          });
      command_.say("the lowest loss on what is held out was " + described(*best, "held_out_") +
                   ", after epoch " + number(value(*best, "epoch")));
    }
    command_.say(setup_.text());
  }

  Command& command_;
  const Setup& setup_;
  Index samples_, batch_ = 1, batches_ = 1, epochs_ = 0, keep_every_ = 1;
  bool classes_, held_out_classes_ = false, shuffled_ = true;
  std::string method_;
  OptimizerOptions optimizer_;
  Schedule schedule_;
  PointLosses losses_;
  std::optional<HeldOut> held_out_;
  Checkpoint state_, last_good_;
};

}  // namespace

void add_batch_options(Command& command) {
  command.options.add_options()  //
      ("batch", po::value<Index>()->value_name("B"),
       "train by mini-batches of so many samples: --method sgd, adam or adamw as PyTorch has them, by "
       "epochs")  //
      ("epochs", po::value<Index>()->default_value(10)->value_name("E"),
       "with --batch: times through the data")  //
      ("order", po::value<std::string>()->default_value("shuffled")->value_name("ORDER"),
       "with --batch: samples are shuffled in each epoch, by --seed, or taken as given")  //
      ("lr", po::value<double>()->value_name("LR"),
       "with --batch: the step size (0.01 for sgd, 0.001 for adam and adamw)")                   //
      ("dampening", po::value<double>()->default_value(0)->value_name("D"), "sgd: of momentum")  //
      ("nesterov", po::bool_switch(), "sgd: Nesterov's momentum")                                //
      ("betas", po::value<std::string>()->default_value("0.9,0.999")->value_name("B1,B2"),
       "adam, adamw: decay of mean and mean square")  //
      ("eps", po::value<double>()->default_value(1e-8, "1e-8")->value_name("E"),
       "adam, adamw: added to the denominator")  //
      ("weight-decay", po::value<double>()->value_name("W"),
       "with --batch: of adamw decoupled (0.01), else added to the gradient (0)")  //
      ("schedule", po::value<std::string>()->default_value("constant")->value_name("S"),
       "with --batch: constant, cosine (to 0) or one-cycle (up over 0.3 of the steps, then down)")  //
      ("warm-up", po::value<Index>()->default_value(0)->value_name("K"),
       "with --batch: steps over which --lr is reached")  //
      ("clip-value", po::value<double>()->default_value(0)->value_name("C"),
       "with --batch: no number of the gradient beyond this (0: not)")  //
      ("clip-norm", po::value<double>()->default_value(0)->value_name("C"),
       "with --batch: no gradient longer than this (0: not)")  //
      ("keep-every", po::value<Index>()->value_name("K"),
       "with --batch: epochs from which the weights are kept (default: a hundredth of --epochs)");
}

void refuse_batch_options(const Command& command) {
  refuse(command, kBatchOptions, "without --batch");
}

void train_by_batches(Command& command, const Setup& setup, RunOutput output,
                      std::optional<RunOutput> final) {
  EpochTrainer(command, setup).go(std::move(output), std::move(final));
}

void write_final_weights(Command& command, const Setup& setup, const Specification& specification,
                         const RunOutput& final, const Vector<double>& weights) {
  if (is_safetensors(final.path())) {
    command.say(write_weights_at(final.path(), final.may_replace(), setup, weights,
                                 specification_text(specification)));
    return;
  }
  hdf5::Writer file(final.path(), final.may_replace());
  write_problem_at(file, command.provenance(setup.input, setup.input_sha256), setup, weights);
  write_specification(file, "/provenance", specification);
  file.commit();
}

}  // namespace basin::tools
