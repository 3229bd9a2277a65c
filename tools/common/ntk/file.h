/// What basin-ntk writes (lib/hdf5/FORMAT.md).
#pragma once

#include <string>
#include <vector>

#include "basin/hdf5/file.h"
#include "basin/single_layer/certificate_input.h"
#include "basin/single_layer/kernel_conditions.h"
#include "basin/single_layer/kernel_minima.h"
#include "basin/single_layer/matrix_free_kernel.h"
#include "basin/single_layer/suggestions.h"

namespace basin::tools {

/// Groups /entry/ntk_NAME, one a spectrum, and /entry/ntk with links to all. The last is the one to look at.
void write_spectra(hdf5::Writer& file, const std::vector<NtkSpectrum>& spectra);

/// The table of the kernels' ends: /entry/summary.
void write_kernels(hdf5::Writer& file, const std::string& group, const std::vector<KernelAnalysis>& kernels);

/// /entry/conditions and /entry/bounds, or behind another beginning.
void write_conditions(hdf5::Writer& file, const std::vector<KernelAnalysis>& kernels,
                      const std::string& beginning = "/entry/");

/// /entry/inputs
void write_ranks(hdf5::Writer& file, const InputRanks& ranks);

/// /entry/certificate
void write_certificate(hdf5::Writer& file, const CertificateInput& input, const Certificate& c);

/// What would make it pass, beside it.
void write_suggestions(hdf5::Writer& file, const Suggestions& suggestions);

/// /entry/matrix_free
void write_products(hdf5::Writer& file, const MatrixFreeMinimum& found);

}  // namespace basin::tools
