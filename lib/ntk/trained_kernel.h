/// The smallest eigenvalue of the kernel of all trained blocks, of any network.
#pragma once

#include "basin/ntk/minimum.h"

namespace basin {

/// K = J J^T of all trained blocks and the outputs that count in the loss (counting_rows), called "sum". Of a
/// single attention layer as kernel_minima, from factors where these suffice. Of every other network from the
/// singular values of J, whose rounding is what perturbed points measure (jacobian_rounding): what they
/// cannot show, the centring of saturated attention, is not allowed for. memory: bytes. Throws InputError
/// where J takes more.
KernelMinimum trained_kernel_minimum(const Linearization<double>& at, double memory);

}  // namespace basin
