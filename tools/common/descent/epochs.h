/// Training by mini-batches: basin-train --batch.
#pragma once

#include <optional>

#include "common/command/run_output.h"
#include "common/command/setup.h"

namespace basin::tools {

/// --batch, --epochs and all that goes with them.
void add_batch_options(Command& command);
/// Refuses those without --batch.
void refuse_batch_options(const Command& command);

/// A run of that kind, from the setup's weights to its files. Throws InputError for an option that is out of
/// range or without effect, and WorkError where a number is not finite: the run up to there is written.
void train_by_batches(Command& command, const Setup& setup, RunOutput output, std::optional<RunOutput> final);

/// The problem with these weights, or the checkpoint that it came from, as --final says.
void write_final_weights(Command& command, const Setup& setup, const Specification& specification,
                         const RunOutput& final, const Vector<double>& weights);

}  // namespace basin::tools
