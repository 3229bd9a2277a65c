/// A run of basin-train, in words.
#pragma once

#include <string>

#include "common/command/command.h"
#include "common/descent/options.h"
#include "common/descent/training.h"

namespace basin::tools {

/// That the step was too large, if that is so, and one that is not: it is tried from theta = start. `values`:
/// the options that the plan was made of.
std::string too_large(const OptionValues& values, const Setup& setup, const DescentPlan& plan,
                      ModelObjective& f, const Training& training);

/// The summary, with the verdicts "converged" and "certified".
void say_training(Command& command, const Training& training);

}  // namespace basin::tools
