/// Summaries of repeated draws.
#pragma once

#include <vector>

#include "basin/linalg/types.h"

namespace basin {

/// The p-quantile, 0 <= p <= 1, of ascending values: linear between neighbours (NumPy's default). NaN without
/// values.
double quantile(const std::vector<double>& ascending, double p);

struct Interval {
  double lower, upper;
};

/// Wilson's interval for the probability behind a share observed in `total` independent trials, `z` standard
/// errors to either side (Wilson, JASA 22, 1927).
Interval wilson_interval(double share, double total, double z);

/// Its 95 % interval for the probability behind `passed` of `total` independent trials:
/// sound also at 0 and 1, where the normal approximation collapses. NaN without trials.
Interval wilson_interval(Index passed, Index total);

}  // namespace basin
