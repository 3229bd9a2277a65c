#include "basin/ntk/conditions.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "basin/linalg/dense.h"

namespace basin {

Condition condition(std::string name, std::string statement, Role role, Index measured, Index threshold,
                    bool exact, std::string remedy) {
  Condition c = {std::move(name),
                 std::move(statement),
                 role,
                 static_cast<double>(measured),
                 static_cast<double>(threshold),
                 exact,
                 ""};
  if (!c.holds()) c.remedy = std::move(remedy);
  return c;
}

Condition count_condition(std::string name, std::string counted, const std::string& all, Role role,
                          Index measured, Index threshold, bool exact, std::string remedy) {
  Condition c =
      condition(std::move(name), counted + " >= " + all, role, measured, threshold, exact, std::move(remedy));
  c.counted = std::move(counted);
  return c;
}

const Condition* KernelConditions::obstacle() const {
  for (const Condition& c : conditions)
    if (c.role != Role::sufficient && !c.holds()) return &c;
  return nullptr;
}

const Condition* KernelConditions::refutation() const {
  const Condition* most = nullptr;
  for (const Condition& c : conditions)
    if (c.exact && c.role != Role::sufficient && !c.holds() &&
        (most == nullptr || c.measured * most->threshold < most->measured * c.threshold))
      most = &c;
  return most;
}

bool KernelConditions::sufficient() const {
  bool proves = false;
  for (const Condition& c : conditions) {
    if (!c.holds()) return false;
    proves |= c.role != Role::necessary;
  }
  return proves;
}

Below KernelConditions::lower_bound() const {
  Below largest;
  for (const LowerBound& b : bounds) largest = std::max(largest, b.bound);
  return largest;
}

KernelMinimum with_conditions(KernelMinimum k, const KernelConditions& conditions) {
  k.largest_upper = std::min(k.largest_upper, conditions.upper_bound);
  k.upper = std::min(k.upper, k.largest_upper);
  if (k.largest_upper == 0) k.lambda_max = k.largest_lower = 0, k.rank = 0;  // what is there is rounding
  const Below proven = conditions.lower_bound();
  if (conditions.refuted()) {
    k.lambda_min = k.lower = k.upper = 0;
  } else if (k.lower_bound() < proven && k.upper > 0) {
    k.lower = std::min(k.upper, proven.value);
    if (k.lower == 0) k.log10_underflow = proven.log10;
    if (k.lambda_min < k.lower) k.lambda_min = k.lower;  // unless it is not known at all
    k.rank = k.size;
    k.proven_by_conditions = true;
  }
  return k;
}

MeasuredValues measured_values(const Matrix<double>& A, const std::vector<Matrix<double>>& perturbed,
                               double underflow) {
  MeasuredValues result;
  result.values = Vector<double>::Zero(A.rows());
  if (A.size() == 0) return result;
  Vectors<double> factor = A.rows() < A.cols() ? Vectors<double>(A.transpose()) : Vectors<double>(A);
  const Vector<double> values = singular_values(triangular_factor(factor));
  result.values.head(values.size()) = values;
  double distance = 0;
  for (const Matrix<double>& there : perturbed) distance = std::max(distance, (A - there).stableNorm());
  result.error =
      10 * static_cast<double>(std::max(A.rows(), A.cols())) * kEps * values[0] + 4 * distance + underflow;
  result.rank = (result.values.array() > result.error).count();
  result.smallest = Below::of(result.values[A.rows() - 1] - result.error);
  return result;
}

KernelMinimum minimum_of(std::string name, const MeasuredValues& A, Index columns, Index outputs) {
  const auto squared = [](double x) { return x > 0 ? x * x : 0.0; };
  const auto squared_up = [](double x) { return std::max(x * x, std::numeric_limits<double>::min()); };
  const Index rows = A.values.size();
  const double smallest = A.values[rows - 1], largest = A.values[0];
  KernelMinimum m = {std::move(name),
                     "factor A",
                     rows * outputs,
                     columns * outputs,
                     A.rank * outputs,
                     squared(smallest),
                     squared(smallest - A.error),
                     squared_up(smallest + A.error),
                     squared(largest),
                     squared(largest - A.error),
                     squared_up(largest + A.error)};
  if (columns < rows) m.upper = 0;  // exactly singular
  return m;
}

}  // namespace basin
