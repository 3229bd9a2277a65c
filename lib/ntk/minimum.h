/// The smallest eigenvalue of a kernel, enclosed, by the cheapest way whose error bound allows it
/// (MATHEMATICS.md, "Which way").
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "ntk/attention_factors.h"
#include "ntk/spectra.h"

namespace basin {

/// What is known of the ends of the spectrum of a kernel J J^T, m x m.
struct KernelMinimum {
  std::string name;      ///< "W_Q", "W_Q,W_K" or "sum", as in NtkSpectrum
  std::string method;    ///< "factor A", "formed kernel", "singular values of J"
  Index size = 0;        ///< m
  Index parameters = 0;  ///< columns of J
  Index rank = -1;       ///< singular values that are certainly positive; -1 if only the ends are known
  double lambda_min = 0, lower = 0, upper = 0;  ///< lower <= the smallest eigenvalue <= upper
  double lambda_max = 0, largest_lower = 0, largest_upper = 0;

  bool positive_definite() const { return lower > 0; }
  double condition_number() const;  ///< infinity unless positive definite
};

KernelMinimum minimum_of(const NtkSpectrum& spectrum);

/// The kernel of W_O from A = [A_1 .. A_H]: the squares of its singular values, each D_out times. Rank
/// included.
KernelMinimum output_minimum(const AttentionFactors& f, const AttentionFactors& twin);

/// The kernels of these sets of blocks, each the sum of its blocks', from kernels that are formed of factors
/// (W_O alone: from A): m^3 operations where the singular values of J take m^2 P and more. Nothing for a
/// kernel whose smallest eigenvalue is not known to `tolerance` (relative) that way: forming J J^T costs half
/// of the digits. `progress` counts kernels.
std::vector<std::optional<KernelMinimum>> formed_minima(const AttentionFactors& f,
                                                        const AttentionFactors& twin,
                                                        const std::vector<std::vector<std::string>>& sets,
                                                        double tolerance = 1e-4,
                                                        const Progress& progress = {});

/// Bytes that takes at its peak.
double formed_minima_bytes(Index m);

}  // namespace basin
