/// The files that options name.
#pragma once

#include <string>
#include <vector>

#include "common/command/values.h"

namespace basin::tools {

/// Options, their values, and which of them name files to write.
struct OptionFiles {
  const po::options_description& options;
  const OptionValues& values;
  const std::vector<std::string>& outputs;
};

/// What can be said of the outputs before any work: an input is never an output, by whatever name, nor an
/// output another one; each can be written, and what has its name already may be replaced or is gone on with.
/// Throws InputError. Deletes what killed runs left of the outputs.
void check_files(const OptionFiles& files);

}  // namespace basin::tools
