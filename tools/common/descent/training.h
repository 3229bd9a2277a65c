/// A run of basin-train that has ended.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "basin/stationary/known_minimum.h"
#include "basin/training/recorded_descent.h"

namespace basin::tools {

/// All there is to tell of it.
struct Training {
  RecordedRun descent;
  double first_loss = 0;                  ///< at the start
  std::vector<std::string> names;         ///< of the numbers of a record
  std::vector<std::vector<double>> rows;  ///< the records
  bool certify = false;                   ///< they have the ball certificate
  DescentStatus status;
  bool global_valley = false;  ///< it ended on a way to the infimum, which no point near by attains
  std::optional<GlobalMinimum> known;
  std::string too_large;  ///< that the step is, and one that is not; empty where nothing says so
};

}  // namespace basin::tools
