#include "common/descent/summary.h"

#include <algorithm>
#include <cmath>

#include "common/descent/global_minimum.h"

namespace basin::tools {
namespace {

using Reason = DescentStatus::Reason;

std::string steps_text(const Descent& run) {
  const StepsTaken& t = run.taken;
  const auto share = [](double value) {
    return std::isfinite(value) ? number(value, 3) + " |theta|" : "from 0";
  };
  return "steps " + number(t.smallest, 4) + (t.largest > t.smallest ? " to " + number(t.largest, 4) : "") +
         ", the first " + number(t.first, 4) + " (" + share(t.first_share) + "), the longest " +
         share(t.largest_share) + "; " + std::to_string(t.shortened) + " of " + std::to_string(run.step) +
         " were shortened" +
         (t.first_share > 1 && std::isfinite(t.first_share)
              ? "; the first is longer than the weights: see --step flow"
              : "");
}

std::string gap_text(double loss, double minimum) {
  return loss > minimum ? "the run ended " + number(loss - minimum, 4) + " above it" : "reached";
}

double best_margin(const Training& training) {
  const auto& names = training.names;
  const auto margin =
      static_cast<std::size_t>(std::find(names.begin(), names.end(), "certificate/margin") - names.begin());
  double best = 0;
  for (const auto& row : training.rows) best = std::max(best, row[margin]);
  return best;
}

std::string certificate_text(const Training& training) {
  const Index certified = training.descent.account.certified;
  return certified < 0
             ? "convergence to zero loss is not proven at any record; the closest misses by a factor " +
                   number(1 / best_margin(training), 4)
             : "from step " + std::to_string(certified) +
                   " on, convergence to zero loss is proven (for gradient descent with the certified "
                   "step from there)";
}

/// What theory said of the steps, or else what the loss did; empty where it fell as it should.
std::string decrease_text(const Training& training) {
  const RunAccount& a = training.descent.account;
  if (a.guaranteed > 0)
    return a.broken == 0 ? "the guaranteed decrease held in all " + std::to_string(a.guaranteed) + " steps"
                         : "the guaranteed decrease was missed in " + std::to_string(a.broken) + " of " +
                               std::to_string(a.guaranteed) + " steps: please report this";
  if (a.rises > 0 && training.too_large.empty())
    return "the loss rose in " + std::to_string(a.rises) + " of " +
           std::to_string(training.descent.run.step) + " steps";
  return "";
}

}  // namespace

std::string too_large(const OptionValues& values, const Setup& setup, const DescentPlan& plan,
                      ModelObjective& f, const Training& training) {
  constexpr Index kTrial = 1000;
  const DescentStatus& status = training.status;
  const double loss = training.descent.run.at.loss;
  const bool lost = status.reason == Reason::not_finite;
  if (!lost && !(plan.step_may_be_too_large && above(loss, training.first_loss))) return "";
  if (!plan.step_may_be_too_large) return status.text;
  const auto share_of_step = [&](double share) {
    OptionValues own = values;
    return std::move(make_descent_plan(own, setup, f, share).descent);
  };
  Stopping stopping = plan.stopping;
  stopping.steps = std::min(stopping.steps, kTrial);
  const auto trial =
      descend_in_shorter_steps(f, share_of_step, *f.at(training.descent.start), status.step, stopping);
  return (automatic_step(values) ? "the automatic step " + number(status.step, 4)
                                 : "--step " + values.get<std::string>("step")) +
         " is too large: " +
         (lost ? status.text
               : "the loss ended at " + number(loss, 4) + ", above " + number(training.first_loss, 4)) +
         (trial ? "; with --step " + number(trial->status.step, 4) + " it fell in a trial of " +
                      std::to_string(trial->run.step) + " steps"
                : "");
}

void say_training(Command& command, const Training& training) {
  const DescentStatus& status = training.status;
  const Descent& run = training.descent.run;
  const RunAccount& account = training.descent.account;
  // on a way to infinity a small gradient is no nearness to a point
  const bool valley = training.global_valley && status.reason != Reason::stalled;
  command.say((valley || status.reason == Reason::not_finite ? "stopped "
               : status.converged()                          ? "converged "
               : status.reason == Reason::stalled            ? "stalled "
                                                             : "not converged ") +
              status.text + (valley && status.reason == Reason::gradient ? ", as --tolerance says" : ""));
  command.say("loss f = " + number(run.at.loss, 10) + ", from " + number(training.first_loss, 10) +
              "; |grad f| = " + number(run.at.gradient.stableNorm(), 4) + ", distance from the start " +
              number((run.at.theta - training.descent.start).stableNorm(), 4));
  if (training.known) command.say(text(*training.known) + ", " + gap_text(run.at.loss, training.known->loss));
  command.verdict("converged", status.converged());
  command.verdict("certified", account.certified >= 0);
  if (!training.too_large.empty()) command.say(training.too_large);
  if (const std::string decrease = decrease_text(training); !decrease.empty()) command.say(decrease);
  if (training.certify) command.say(certificate_text(training));
  if (run.step > 0) command.say(steps_text(run));
  const Counts& c = account.spent;  // not what the messages take
  command.say(std::to_string(c.gradients) + " gradients, " + std::to_string(c.losses) + " losses, " +
              std::to_string(c.products) + " Hessian products");
}

}  // namespace basin::tools
