/// Trace and Frobenius norm of an operator, with standard errors.
#pragma once

#include <cstdint>

#include "linalg/linear_operator.h"
#include "linalg/progress.h"

namespace basin {

struct Estimate {
  double value = 0;
  double error = 0;  ///< standard error; 0 where the value is exact but for rounding
};

struct TraceEstimates {
  Estimate trace, frobenius;
  bool exact = false;
  Index products = 0;
};

/// Of a symmetric matrix.
TraceEstimates exact_traces(const Vectors<double>& matrix);

/// XTrace (Epperly, Tropp and Webber, SIAM J. Matrix Anal. Appl. 45, 2024, algorithm 2.1, with normalised
/// test vectors): `probes` random vectors, each in turn estimates what the range of A times the others leaves
/// over, 2 `probes` products. The Frobenius norm is the same estimate for A^2, from the same products. A rank
/// below `probes` makes both exact. Throws InputError for fewer than 2 probes, and WorkError when a product
/// is not finite.
TraceEstimates estimated_traces(const SelfAdjointOperator& A, Index probes, std::uint64_t seed = 0,
                                const Progress& progress = {});

/// Bytes that takes.
double estimated_traces_bytes(Index size, Index probes);

}  // namespace basin
