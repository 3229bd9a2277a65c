/// The smallest eigenvalue of a kernel, enclosed, by the cheapest way whose error bound allows it
/// (ntk/MATHEMATICS.md, "Which way").
#pragma once

#include <functional>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include "basin/ntk/kernel_minimum.h"
#include "basin/single_layer/attention_factors.h"
#include "basin/single_layer/feature_reduction.h"
#include "basin/single_layer/kernel_conditions.h"

namespace basin {

/// The kernel of W_O from A = [A_1 .. A_H]: the squares of its singular values, each D_out times. Rank
/// included.
KernelMinimum output_minimum(const MeasuredFactors& f);

/// The kernels of these sets of blocks, each the sum of its blocks', from kernels that are formed of factors
/// (W_O alone: from A): m^3 operations where the singular values of J take m^2 P and more. Nothing for a
/// kernel whose smallest eigenvalue is not known to `tolerance` (relative) that way, as forming J J^T costs
/// half of the digits, or which has fewer parameters than outputs. With an infinite tolerance every other
/// kernel has its enclosure, however wide. `progress` counts kernels.
std::vector<std::optional<KernelMinimum>> formed_minima(const MeasuredFactors& f,
                                                        const std::vector<std::vector<std::string>>& sets,
                                                        double tolerance = 1e-4,
                                                        const Progress& progress = {});

/// Bytes that takes at its peak, factors included.
double formed_minima_bytes(const AttentionSpec& spec, Index samples);

struct MinimaOptions {
  bool form = true;          ///< try kernels formed of factors first
  bool use_jacobian = true;  ///< go to J for what they leave open
  bool spectra = false;      ///< all singular values of J for every set
  /// The same where J takes no more operations than this: below a second.
  double quick = 2e9;
  /// What J may cost: bytes and operations.
  double memory = std::numeric_limits<double>::infinity();
  double operations = std::numeric_limits<double>::infinity();
  double tolerance = 1e-4;  ///< relative width of an enclosure that is good enough
  /// Told what is done next, one line for people.
  std::function<void(const std::string&)> note{};
};

struct Minima {
  std::vector<KernelMinimum> minima;                ///< of each set, in order
  std::vector<std::optional<NtkSpectrum>> spectra;  ///< likewise; of those that needed all singular values
};

/// The smallest eigenvalues of the kernels of these sets of trained blocks by the cheapest way whose error
/// bound suffices: formed kernels; where their rounding hides the answer, the triangular factor of J and its
/// inverse; where that does not decide, all its singular values. What is not affordable stays as wide as it
/// is. `progress` counts kernels, then samples. Throws InputError for an unknown block, WorkError when a
/// number is not finite, or when features cannot be reduced (FeatureReduction) and J does not fit.
Minima kernel_minima(const ModelPoint<double>& point, const MeasuredFactors& factors,
                     const std::vector<std::vector<std::string>>& sets, const MinimaOptions& options = {},
                     const Progress& progress = {});

/// What J, its factors and all its singular values take for these sets: bytes at the peak, and operations,
/// those of singular values counted tenfold, as they run at the speed of memory. `fewer_features`: after
/// FeatureReduction.
struct JacobianCost {
  double bytes, operations;
};
JacobianCost jacobian_cost(const AttentionSpec& spec, Index samples, const std::vector<std::string>& trained,
                           const std::vector<std::vector<std::string>>& sets, bool fewer_features = true);

}  // namespace basin
