/// From options to a search for stationary points.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "basin/stationary/perturbed_descents.h"
#include "common/command/journal.h"
#include "common/command/setup.h"

namespace basin::tools {

/// --starts, --search, --at, --from, --global-minimum, --finish-steps, --escapes, --check-return,
/// --return-radius, --dense-limit, --entry, --resume, --escape.
void add_search_options(Command& command);

/// What is asked for.
struct SearchRequest {
  ModelLoss loss;
  Starts starts;
  std::vector<std::string> sources;  ///< of given points and starts: FILE:DATASET
  SearchOptions search;              ///< but for the stopping, with the method of the descent options
  ReturnOptions returns;

  bool descends() const { return starts.drawn > 0 || !starts.from.empty(); }
};

/// Reads the options. command and setup must outlive what it returns. Throws InputError for an option that
/// is out of range or without effect.
SearchRequest read_search_request(Command& command, const Setup& setup);

/// When the descents stop. Refuses at once what the first of them would refuse: throws InputError.
Stopping stopping_of(const Command& command, const Setup& setup, const SearchRequest& request);

/// The global minimum, where it is given or known.
std::optional<GlobalMinimum> minimum_for(const Command& command, const Setup& setup);

/// What catalogues that are merged must agree in.
Specification shared_specification(const Command& command, const Setup& setup);
/// And which starts a catalogue has, too: what makes it what it is.
Specification whole_specification(const Command& command, const Setup& setup, const SearchRequest& request);

}  // namespace basin::tools
