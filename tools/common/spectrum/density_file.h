/// How a spectral density is written to the result file of basin-hessian (lib/hdf5/FORMAT.md).
#pragma once

#include <string>

#include "basin/hdf5/file.h"
#include "common/spectrum/results.h"

namespace basin::tools {

/// The groups density, density_symlog, quadrature, cumulative, negative_mass and resolved_mass of `prefix`:
/// results.quadrature is there.
void write_density(hdf5::Writer& file, const std::string& prefix, const SpectrumResults& results);

}  // namespace basin::tools
