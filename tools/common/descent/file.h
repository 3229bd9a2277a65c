/// How a run of basin-train is written to its result file (lib/hdf5/FORMAT.md).
#pragma once

#include <map>
#include <vector>

#include "basin/hdf5/file.h"
#include "common/command/setup.h"
#include "common/descent/training.h"

namespace basin::tools {

/// /entry/run, /entry/steps, /entry/certificate and what is said beside them.
void write_training(hdf5::Writer& file, const Training& training);

/// /trajectory: all weights at each checkpoint, by its step.
void write_trajectory(hdf5::Writer& file, const Setup& setup,
                      const std::map<Index, std::vector<double>>& trajectory);

}  // namespace basin::tools
