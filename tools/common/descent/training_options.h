/// From the options of basin-train to what is recorded, and how often.
#pragma once

#include "basin/training/recorded_descent.h"
#include "common/descent/options.h"

namespace basin::tools {

/// --record-every, --checkpoint-every, --ntk, --certify, --resume, --final and --assert.
void add_training_options(Command& command);

struct TrainingOptions {
  RecordOptions records;
  Index record_every = 1, checkpoint_every = 1;  ///< steps
};

/// For a run of that plan of a problem with so many weights. Resolves what is left to the tool. Throws
/// InputError for an option that is out of range, and where --memory does not hold records or trajectory.
TrainingOptions read_training_options(Command& command, const DescentPlan& plan, Index weights);

/// Everything that makes a run what it is: options as they are resolved, the problem's content and the
/// version.
Specification training_specification(const Command& command, const Setup& setup);

}  // namespace basin::tools
