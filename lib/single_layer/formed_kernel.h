/// The kernel J J^T of a set of blocks, formed of factors tile by tile.
#pragma once

#include <string>
#include <vector>

#include "basin/single_layer/attention_factors.h"

namespace basin {

struct FormedKernel {
  Vectors<double> K;  ///< m x m, lower triangle
  /// Estimate of the Frobenius norm of its rounding error: four times the largest distance from that at a
  /// perturbed point, block by block, the rounding of softmax weights, and what underflows.
  double error = 0;
};

/// The sum of the kernels of `blocks`. The formulas are those of block_kernel (attention_factors.h), for some
/// samples against some samples at a time, so that nothing but K itself is as large as K.
FormedKernel formed_kernel(const MeasuredFactors& f, const std::vector<std::string>& blocks);

/// Bytes that takes at its peak besides the factors: the kernel, and the derivatives in the keys of all
/// points.
double formed_kernel_bytes(const AttentionSpec& spec, Index samples);

}  // namespace basin
