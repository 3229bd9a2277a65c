/// From options to methods of descent.
#pragma once

#include <memory>
#include <string>

#include "basin/stationary/descent.h"
#include "common/command/setup.h"

namespace basin::tools {

struct DescentDefaults {
  std::string method = "gd";
  Index steps = 10000;
  double tolerance = 1e-10;
};

/// --method, --step, --steps, --tolerance, --loss-tolerance, --momentum, --beta1, --beta2, --epsilon,
/// --pairs.
void add_descent_options(Command& command, const DescentDefaults& defaults = {});

/// A method with all its options, and when it stops.
struct DescentPlan {
  std::string method;  ///< "gd", ...
  std::unique_ptr<const DescentMethod> descent;
  Stopping stopping;
  /// A fixed step that was given or guessed, which may be too large.
  bool step_may_be_too_large = false;
};

/// Reads the options, and resolves the step for a run from the setup's
/// weights, which f was asked for last. Throws
/// InputError for an option that is out of range or without effect, and where --step certificate is not
/// proven. `share`: of a fixed step.
DescentPlan make_descent_plan(OptionValues& command, const Setup& setup, Objective& f, double share = 1);
/// Where the certificate of one attention layer is refused: what is known of a last layer alone, if anything.
std::string known_of_last_layer(const Setup& setup);
/// Whether the step is left to the tool.
bool automatic_step(const OptionValues& command);

}  // namespace basin::tools
