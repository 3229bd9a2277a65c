/// From options to what is asked of a spectrum.
#pragma once

#include <vector>

#include "basin/curvature/hessian_parts.h"
#include "basin/spectrum/plan.h"
#include "common/command/command.h"

namespace basin::tools {

/// All options of basin-hessian.
void add_spectrum_options(Command& command);

/// What was asked for, of which matrices.
struct HessianRequest {
  SpectrumRequest spectrum;
  std::vector<HessianPart> parts;
};

/// Throws InputError for an option that is out of range or without effect, and where nothing is asked for.
HessianRequest read_spectrum_request(const Command& command);

/// Throws InputError where more eigenvalues are asked for than there are: P.
void check_numbers(const Command& command, Index P);

/// The way to it for P parameters, of a block by that name. Throws InputError where --memory does not hold
/// it.
SpectrumPlan spectrum_plan(const Command& command, const SpectrumRequest& request, Index P,
                           const std::string& block = "");

}  // namespace basin::tools
