/// Labelled data: targets that name a class.
#pragma once

#include "basin/linalg/types.h"

namespace basin {

/// Whether each row of Y (a token) names a class: -1 or 1 where there is one output, else one 1 among zeros.
bool labelled(const Matrix<double>& Y);

/// The percentage of rows of F, of labelled Y, in the right class: f y > 0 for one output, else the target's
/// output above all others. NaN where F is not finite.
double accuracy(const Matrix<double>& F, const Matrix<double>& Y);

}  // namespace basin
