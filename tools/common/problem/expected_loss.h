/// The loss that another program found, held against ours.
#pragma once

#include <string>

#include "basin/model/model_point.h"

namespace basin::tools {

/// Throws InputError unless the loss is the expected one: to the digits that are given of it, or to single
/// precision where no other way to compute it comes nearer; which is said, else the text is empty. The
/// message says what would give the expected one, of the usual reasons that can be tried: another average,
/// epsilon, GELU, mask; or names them all. expected: as the user wrote it.
std::string expected_loss(const std::string& expected, const ModelPoint<double>& point, double loss);

}  // namespace basin::tools
