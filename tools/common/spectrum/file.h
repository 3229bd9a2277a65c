/// What basin-hessian finds, and how it is written to its result file (FORMAT.md).
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "basin/hdf5/result_file.h"
#include "basin/spectrum/block_norms.h"
#include "basin/spectrum/counts.h"
#include "basin/spectrum/density.h"
#include "basin/spectrum/eigenpairs.h"

namespace basin::tools {

/// One end of a spectrum, as far as it is known.
struct SpectrumEnd {
  double value = 0, error = 0;
  /// Whether an eigenvalue lies within `error` of the value, and none was found further out. Else the value
  /// is a Rayleigh quotient: an eigenvalue lies at it or further out, but for rounding by `error`.
  bool found = false;
  bool converged = true;
};

/// All results for one matrix: the Hessian, its Gauss-Newton part or the rest, or a block of one of these.
/// Some may be of its restriction to the complement of the symmetry directions; each says so (`removed`).
struct SpectrumResults {
  std::string matrix;                  ///< "hessian", "gauss-newton" or "residual"
  std::string block;                   ///< the diagonal block of this name; empty: the whole matrix
  std::string gauss_newton = "J^T J";  ///< what the Gauss-Newton matrix is, as people write it
  bool convex = true;                  ///< the loss is, in the outputs
  /// "largest", "smallest" or "spectrum", with its pairs.
  std::vector<std::pair<std::string, EigenResult>> eigenvalues;
  std::vector<EigenvalueCounts> counts;  ///< of the matrix, of its restriction, or both
  std::optional<LanczosQuadrature> quadrature;
  std::optional<DensityCurve> density;  ///< on a linear axis
  std::optional<TraceEstimates> traces;
  std::optional<BlockNorms> norms;
  /// Both ends of the matrix that the verdict is about, which `removed` directions are set aside of.
  Index removed = 0;
  SpectrumEnd smallest, largest;
};

/// "Hessian", "Gauss-Newton matrix", "residual part"; "W_Q block of the Hessian"; "Hessian modulo symmetries"
/// where `removed` directions are set aside. Every number that is printed, stored or drawn goes by this name.
std::string matrix_title(const SpectrumResults& results, Index removed);

/// Under a convex loss the Gauss-Newton matrix and its blocks have no negative eigenvalue, and no restriction
/// of them has.
bool semidefinite(const SpectrumResults& results);

/// The results of that name, or null.
const EigenResult* find(const SpectrumResults& results, const std::string& which);
/// The counts of the matrix with so many directions set aside, or null.
const EigenvalueCounts* find_counts(const SpectrumResults& results, Index removed);

/// The share of the eigenvalues below x.
Mass share_below(const SpectrumResults& results, double x);

/// What counts as zero in a density: 1e-10 of the largest magnitude, or the rounding of the products.
double zero_threshold(const LanczosQuadrature& quadrature);

/// As close to zero as the quadrature leaves no more than half a per cent of the eigenvalues undecided.
double resolved_threshold(const LanczosQuadrature& quadrature);

/// Writes to the groups `prefix`/largest, ..., with `prefix` = "/entry" or "/entry/parts/NAME".
void write_results(hdf5::Writer& file, const std::string& prefix, const SpectrumResults& results,
                   bool with_vectors);

}  // namespace basin::tools
