/// The smallest eigenvalue of the kernel of all trained blocks, of any network.
#pragma once

#include "basin/ntk/kernel_minimum.h"

namespace basin {

/// K = J J^T of all trained blocks and the outputs that count in the loss (counting_rows), called "sum", from
/// the singular values of J. Their rounding is what perturbed points measure (jacobian_rounding): what these
/// cannot show, the centring of saturated attention, is not allowed for. memory: bytes. Throws InputError
/// where J takes more.
KernelMinimum jacobian_kernel_minimum(const Linearization<double>& at, double memory);

}  // namespace basin
