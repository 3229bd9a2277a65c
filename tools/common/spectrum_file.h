/// What basin-hessian finds, written to its result file (FORMAT.md) and said in words.
#pragma once

#include <string>
#include <vector>

#include "common/command.h"
#include "hdf5/result_file.h"
#include "spectrum/block_norms.h"
#include "spectrum/counts.h"
#include "spectrum/density.h"
#include "spectrum/eigenpairs.h"

namespace basin::tools {

/// All results for one matrix: the Hessian, its Gauss-Newton part or the rest.
struct SpectrumResults {
  std::string matrix;  ///< "hessian", "gauss-newton" or "residual"
  /// "largest", "smallest" or "spectrum", with its pairs.
  std::vector<std::pair<std::string, EigenResult>> eigenvalues;
  /// "whole" or "modulo symmetries".
  std::vector<std::pair<std::string, EigenvalueCounts>> counts;
  std::optional<LanczosQuadrature> quadrature;
  std::optional<DensityCurve> density;  ///< on a linear axis
  std::optional<TraceEstimates> traces;
  std::optional<BlockNorms> norms;
};

/// "Hessian", "Gauss-Newton matrix", "residual part".
std::string matrix_title(const std::string& matrix);

/// What counts as zero in a density: 1e-10 of the largest magnitude, or the rounding of the products.
double zero_threshold(const LanczosQuadrature& quadrature);

/// As close to zero as the quadrature leaves no more than half a per cent of the eigenvalues undecided.
double resolved_threshold(const LanczosQuadrature& quadrature);

/// Writes to the groups `prefix`/largest, ..., with `prefix` = "/entry" or "/entry/parts/NAME".
void write_results(hdf5::Writer& file, const std::string& prefix, const SpectrumResults& results,
                   bool with_vectors);

/// The verdict: what is known of negative curvature, in one line.
std::string curvature_verdict(const SpectrumResults& results);

/// Whether negative curvature is excluded: by exact counts, or all eigenvalues.
bool has_no_negative_curvature(const SpectrumResults& results);

/// The summary, after the verdict.
void say_results(Command& command, const SpectrumResults& results);

}  // namespace basin::tools
