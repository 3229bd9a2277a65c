/// What saturated attention hides from a measurement of the rounding of J (ntk/MATHEMATICS.md, "How far they
/// can be trusted").
#pragma once

#include "basin/single_layer/attention_factors.h"

namespace basin {

/// For each of these blocks, a bound on the Frobenius norm of the rounding error of J's columns that comes
/// from centring in softmax, M(s) v = s o (v - s^T v). In a row that is nearly one weight s_1 = 1 - e, the
/// difference v_1 - s^T v is some e |v|, with an error of eps |v|: J's row, which is of size e too, has an
/// error of relative size eps / e. It is the same at a perturbed point (model/perturbation.h) whose e is no
/// other number, so it cannot be measured there. Zero for W_V and W_O, and for the Gaussian kernel. Add it to
/// jacobian_rounding(). Throws InputError for an unknown block.
std::vector<double> centring_rounding(const AttentionFactors& f, const std::vector<std::string>& blocks);

}  // namespace basin
