/// The smallest singular value of a triangular matrix, enclosed.
#pragma once

#include <cstdint>
#include <optional>

#include "basin/linalg/definite.h"

namespace basin {

/// lower <= sigma_min(R) <= upper for the upper triangular R (n x n), in n^3 / 3 operations where all
/// singular values take 8 n^3 / 3 slow ones.
///
/// R is inverted. The value comes from a block Krylov space of R^-1 R^-T; that no singular value is smaller
/// follows from the trace: |R^-1|_F^2 less what the space has found bounds all the rest (block_krylov.h).
/// The rounding of the inverse moves singular values by at most n eps |R|_F (Higham, Accuracy and Stability,
/// section 14.2, to first order). Nothing if that is not small against sigma_min, or if so many singular
/// values are about as small as the smallest that the trace decides nothing.
std::optional<EnclosedEigenvalue> smallest_singular_value(const Vectors<double>& R, std::uint64_t seed = 0);

}  // namespace basin
