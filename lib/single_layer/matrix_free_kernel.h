/// The smallest eigenvalue of a kernel that is too large to form (ntk/MATHEMATICS.md, "Which way").
#pragma once

#include "basin/single_layer/kernel_minima.h"

namespace basin {

struct MatrixFreeOptions {
  double tolerance = 1e-3;    ///< relative, of the residual
  Index max_products = 2000;  ///< with K, that is J^T then J
  std::uint64_t seed = 0;
};

struct MatrixFreeMinimum {
  /// lambda_min is the smallest value found: `upper` bounds the smallest eigenvalue from above, `lower` is 0,
  /// as products alone prove nothing from below. lambda_max likewise is only bounded from below.
  KernelMinimum kernel;
  double residual = 0;  ///< some eigenvalue lies within this of lambda_min
  Index products = 0;
  bool converged = false;
};

/// The kernel of all trained blocks by products only: preconditioned conjugate gradients (linalg/lobpcg.h)
/// whose preconditioner is the kernel of each sample alone, factorised. `perturbed`: linearizations at
/// perturbed points; the value found is evaluated there again for its rounding. `factors`: of the point, for
/// the rounding that those do not show (attention_rounding.h). `single` gives the factors of sample i.
MatrixFreeMinimum matrix_free_minimum(const Linearization<double>& at,
                                      const std::vector<Linearization<double>>& perturbed,
                                      const AttentionFactors& factors,
                                      const std::function<AttentionFactors(Index)>& single,
                                      const MatrixFreeOptions& options = {}, const Progress& progress = {});

/// Bytes that takes at its peak, besides the linearization and the factors.
double matrix_free_bytes(const AttentionSpec& spec, Index samples);

}  // namespace basin
