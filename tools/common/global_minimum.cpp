#include "common/global_minimum.h"

#include "stationary/known_minimum.h"

namespace basin::tools {
namespace {

/// Where the file says that the minimum is, if it is of this kernel and these shapes; for files from before
/// /minimum, at the teacher.
std::optional<KnownMinimum> stored_minimum(const Setup& setup) {
  const AttentionSpec s = setup.spec();
  const std::optional<KnownMinimum>& known = setup.minimum ? setup.minimum : setup.teacher;
  if (!known) return std::nullopt;
  AttentionSpec there = s;
  there.bandwidth = known->bandwidth;
  const bool same_kernel =
      known->kernel == s.kernel && (s.kernel != KernelKind::gaussian || there.sigma() == s.sigma());
  const bool same_shapes =
      known->blocks.empty() || (known->heads == s.heads && known->head_dim == s.head_dim);
  return same_kernel && same_shapes ? known : std::nullopt;
}

}  // namespace

std::string GlobalMinimum::text() const {
  return "global minimum f = " + number(loss, 10) + " (" + source + ")";
}

std::optional<GlobalMinimum> global_minimum(const Setup& setup) {
  const ModelLoss loss{setup.point};
  if (const auto known = stored_minimum(setup)) {
    Vector<double> at = setup.point.weights;
    for (const auto& [name, values] : known->blocks) {
      const ParameterLayout::Entry& e = setup.parameters().find(name);
      at.segment(e.offset, e.block.size()) = values;
    }
    if (attains(loss, at, known->loss)) return GlobalMinimum{known->loss, known->reason};
  }
  if (const auto least = convex_minimum(loss))
    return GlobalMinimum{*least, "as f is convex in " + setup.parameters().trained()[0]};
  return std::nullopt;
}

}  // namespace basin::tools
