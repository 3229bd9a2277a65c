/// Trace and Frobenius norm of an operator, with errors.
#pragma once

#include <cstdint>

#include "basin/spectrum/assembled_matrix.h"

namespace basin {

struct Estimate {
  double value = 0;
  double error = 0;  ///< half the width of the interval around it
};

struct TraceEstimates {
  Estimate trace, frobenius;
  /// False: the errors bound what rounding does, as measured. True: the errors are those of random vectors
  /// (95 % intervals), and rounding.
  bool estimated = false;
  Index products = 0;
};

/// Of an assembled matrix.
TraceEstimates traces_of(const AssembledMatrix& assembled);

/// XTrace (Epperly, Tropp and Webber, SIAM J. Matrix Anal. Appl. 45, 2024, algorithm 2.1, with normalised
/// test vectors): `probes` random vectors, each in turn estimates what the range of A times the others leaves
/// over, 2 `probes` products. The Frobenius norm is the same estimate for A^2, from the same products. A rank
/// below `probes` leaves rounding only. `row_errors`: of the operator's rows (row_rounding). Throws
/// InputError for fewer than 2 probes, and WorkError when a product or a result is not finite.
TraceEstimates estimated_traces(const SelfAdjointOperator& A, const Vector<double>& row_errors, Index probes,
                                std::uint64_t seed = 0, const Progress& progress = {});

/// Bytes that takes.
double estimated_traces_bytes(Index size, Index probes);

/// The square root of what is not negative, with the interval that goes with it.
Estimate root_of(const Estimate& square);

/// Half the width of a 95 % interval for a mean of `samples` independent numbers, in standard errors
/// (Student).
double interval_factor(Index samples);

}  // namespace basin
