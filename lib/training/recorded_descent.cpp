#include "basin/training/recorded_descent.h"

#include "basin/linalg/errors.h"
#include "basin/training/proven_steps.h"

namespace basin {
namespace {

/// Where the run is: its last point, which most methods leave f at.
const Linearization<double>& here(ModelObjective& f, const Descent& run) {
  f.at(run.at.theta);
  return f.here();
}

/// Counts steps whose loss a theorem bounds, and those that break the bound by more than rounding.
void account_for(RecordedRun& run, const Move& move, const ModelPoint<double>& point) {
  RunAccount& a = run.account;
  const double loss = run.run.at.loss;
  a.since.last = move;
  a.since.loss_before = a.loss;
  const Guarantee guarantee = guarantee_of(point, move, a.loss, loss);
  if (guarantee != Guarantee::none) ++a.guaranteed;
  if (guarantee == Guarantee::broken) ++a.broken;
  if (loss > a.loss) ++a.rises;
  a.loss = loss;
}

}  // namespace

RecordedRun start_run(ModelObjective& f, std::shared_ptr<const NetworkTheory> theory, Vector<double> theta) {
  std::optional<Iterate> at = f.at(theta);
  if (!at) throw WorkError("the loss at the start is not finite: the weights or inputs are too large");
  RecordedRun run;
  run.run.at = std::move(*at);
  run.start = std::move(theta);
  run.theory = std::move(theory);
  return run;
}

void take_up(ModelObjective& f, Descent& run, const Counts& spent) {
  // What was spent on the way there: not also what it takes to get there again.
  run.at = *f.at(run.at.theta);
  const Counts& here = f.counts();
  f.add_counts(
      {spent.losses - here.losses, spent.gradients - here.gradients, spent.products - here.products});
}

DescentRecord measure_record(ModelObjective& f, const RecordOptions& options, const RecordedRun& run) {
  return measure_record(options, *run.theory, run.run, here(f, run.run), f.counts(), run.start,
                        run.account.since);
}

DescentRecord add_record(ModelObjective& f, const RecordOptions& options, RecordedRun& run) {
  DescentRecord record = measure_record(f, options, run);
  RunAccount& a = run.account;
  a.recorded = a.since.record_step = run.run.step;
  a.loss = a.since.record_loss = run.run.at.loss;
  if (a.certified < 0 && record.certified && record.certified->certificate.passes) a.certified = run.run.step;
  return record;
}

DescentStatus descend_on_record(ModelObjective& f, const DescentMethod& method, RecordedRun& run,
                                const Stopping& stopping, const Recording& recording,
                                const std::function<void()>& after) {
  const auto record = [&] {
    const DescentRecord made = add_record(f, recording.options, run);
    if (recording.keep) recording.keep(made);
  };
  const ModelPoint<double> start = f.point_at(run.start);
  DescentStatus status = descend(f, method, run.run, stopping, [&](const Descent& here, const Move& move) {
    account_for(run, move, start);
    if (here.step % recording.every == 0) record();
    run.account.settled = f.counts();
    if (after) after();
  });
  run.account.spent = f.counts();
  if (run.account.recorded != run.run.step) record();
  return status;
}

}  // namespace basin
