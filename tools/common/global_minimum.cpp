#include "common/global_minimum.h"

#include "hdf5/minimum_file.h"
#include "hdf5/problem_file.h"
#include "stationary/known_minimum.h"

namespace basin::tools {
namespace {

/// Where the file says that the minimum is; for files from before /minimum, at the teacher.
std::optional<KnownMinimum> stored_minimum(const Setup& setup) {
  const hdf5::Reader file(setup.input);
  const AttentionSpec& s = setup.description.spec;
  if (auto known = hdf5::read_minimum(file, s)) return known;
  if (!file.has("/teacher")) return std::nullopt;
  Problem problem = hdf5::read_problem(file);
  problem.teacher = hdf5::read_teacher(file, problem);
  if (!problem.teacher || !problem.teacher->weights) return std::nullopt;
  const AttentionWeights& w = *problem.teacher->weights;
  const AttentionSpec t = problem.spec(*problem.teacher, w.heads, w.head_dim);
  if (t.kernel != s.kernel || t.heads != s.heads || t.head_dim != s.head_dim ||
      (t.kernel == KernelKind::gaussian && t.sigma() != s.sigma()))
    return std::nullopt;
  return teacher_minimum(problem, 1);
}

}  // namespace

std::string GlobalMinimum::text() const {
  return "global minimum f = " + number(loss, 10) + " (" + source + ")";
}

std::optional<GlobalMinimum> global_minimum(const Setup& setup) {
  const AttentionLoss loss{setup.description.spec, setup.model, setup.weights, setup.data};
  if (const auto known = stored_minimum(setup)) {
    Vector<double> at = setup.weights;
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
