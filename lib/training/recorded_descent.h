/// Descent on record: a run, what is measured along it, and what theory said of its steps.
#pragma once

#include <functional>
#include <memory>

#include "basin/training/record.h"

namespace basin {

/// What a run amounts to besides where it is.
struct RunAccount {
  SinceRecord since;
  double loss = 0;                   ///< after the last step, or at the last record
  Index recorded = -1;               ///< step of the last record
  Index certified = -1;              ///< of the first record at which the ball certificate passes
  Index guaranteed = 0, broken = 0;  ///< steps with a Guarantee, and those that broke it
  Index rises = 0;                   ///< steps after which the loss was larger
  Counts settled;                    ///< spent up to the last step: what tries another in vain is tried again
  Counts spent;                      ///< when the run ended; its last record is not counted
};

/// With `start`, all that is needed to go on to the same bits and records.
struct RecordedRun {
  Descent run;
  Vector<double> start;  ///< P: theta at step 0
  RunAccount account;
  std::shared_ptr<const NetworkTheory> theory;  ///< of the network
};

/// Begins a run at theta; theory: of the network. Throws WorkError where loss or gradient are not finite
/// there.
RecordedRun start_run(ModelObjective& f, std::shared_ptr<const NetworkTheory> theory, Vector<double> theta);

/// Puts f where a run goes on of whose point only theta is known, as if it had spent that much so far.
void take_up(ModelObjective& f, Descent& run, const Counts& spent);

/// What is on record of a run as it is. Throws as measure_record.
DescentRecord measure_record(ModelObjective& f, const RecordOptions& options, const RecordedRun& run);
/// And notes in its account that it is.
DescentRecord add_record(ModelObjective& f, const RecordOptions& options, RecordedRun& run);

/// What becomes of records.
struct Recording {
  RecordOptions options;
  Index every = 1;                                   ///< steps from one to the next
  std::function<void(const DescentRecord&)> keep{};  ///< gets each
};

/// As descend, with a record every so many steps and one at the end, and an account of what the steps did. Of
/// the point where it begins there is one already (add_record). after: called after each step, its record
/// made.
DescentStatus descend_on_record(ModelObjective& f, const DescentMethod& method, RecordedRun& run,
                                const Stopping& stopping, const Recording& recording,
                                const std::function<void()>& after = {});

}  // namespace basin
