#include "common/descent/global_minimum.h"

namespace basin::tools {

std::optional<GlobalMinimum> global_minimum(const Setup& setup) {
  // files from before /minimum: at the teacher
  const std::optional<KnownMinimum>& known = setup.minimum ? setup.minimum : setup.teacher;
  std::optional<StatedMinimum> stated;
  if (known)
    if (auto at = attaining_weights(*known, setup.point))
      stated = StatedMinimum{{known->loss, known->reason}, std::move(*at)};
  return global_minimum(ModelLoss{setup.point, setup.theory}, stated);
}

std::string text(const GlobalMinimum& minimum) {
  return "global minimum f = " + number(minimum.loss, 10) + " (" + minimum.source + ")";
}

}  // namespace basin::tools
