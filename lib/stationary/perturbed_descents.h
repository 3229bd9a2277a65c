/// Descents from beside a stationary point: do they come back, and where does the way down from a saddle
/// lead?
#pragma once

#include "basin/stationary/multi_start.h"

namespace basin {

struct ReturnOptions {
  Index starts = 3;      ///< around each minimum
  double radius = 0.01;  ///< their distance from it, relative to the length of theta (Objective::length)
};

/// Descends from points around the first start of every entry that is a strict minimum, in directions that
/// are the same for all; `perturbed` and `returned` of its record count those that were tried, and that end
/// in the entry. A zero of f that is reached on the way is noted (note_zero).
void check_returns(const ModelLoss& loss, const SearchOptions& search_options, const ReturnOptions& options,
                   const Catalogue& catalogue, StartsFound& found, const Progress& progress = {});

/// What follows a step from a saddle.
struct FollowedEscape {
  double loss = 0;         ///< after the step
  Vector<double> weights;  ///< there, of all blocks
  StartRecord end;         ///< where descent from there ends
};

/// The step that the record of the saddle names, and the descent from there. Throws InputError for a record
/// without a direction in which f falls.
FollowedEscape follow_escape(const ModelLoss& loss, const StartRecord& saddle,
                             const SearchOptions& search_options);

}  // namespace basin
