/// The loss that another program found, held against ours.
#pragma once

#include <string>

#include "basin/model/model_point.h"

namespace basin::tools {

/// Throws InputError unless the loss is the expected one, to the digits that are given of it and to single
/// precision. The message says what would give the expected one, of the usual reasons that can be tried:
/// another average, epsilon, GELU, mask; and names the others. expected: as the user wrote it.
void check_expected_loss(const std::string& expected, const ModelPoint<double>& point, double loss);

}  // namespace basin::tools
