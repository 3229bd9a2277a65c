/// The kernel J J^T of a set of blocks, formed of factors tile by tile.
#pragma once

#include <string>
#include <vector>

#include "ntk/attention_factors.h"

namespace basin {

struct FormedKernel {
  Vectors<double> K;  ///< m x m, lower triangle
  /// Estimate of the Frobenius norm of its rounding error: four times the distance from the twin's
  /// (model/twin.h), block by block.
  double error = 0;
};

/// The sum of the kernels of `blocks`. The formulas are those of block_kernel (attention_factors.h), for some
/// samples against some samples at a time, so that nothing but K itself is as large as K.
FormedKernel formed_kernel(const AttentionFactors& f, const AttentionFactors& twin,
                           const std::vector<std::string>& blocks);

}  // namespace basin
