/// The constants of the ball certificate (lib/ntk/MATHEMATICS.md), by the names that all files have for them.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "basin/single_layer/certificate.h"

namespace basin::tools {

using NamedNumbers = std::vector<std::pair<std::string, double>>;

/// Those of the layer. existence_residual: largest_residual for c = 0.
NamedNumbers certificate_numbers(const Certificate& certificate, const NormConstants& norms,
                                 double existence_residual);

/// Those of a head. bound: of second_derivative_bounds within the radius.
NamedNumbers head_numbers(const HeadNorms& norms, const HeadBound& bound);

}  // namespace basin::tools
