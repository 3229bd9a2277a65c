/// Conditions on the smallest eigenvalue of a kernel, and what they prove of it (MATHEMATICS.md).
#pragma once

#include <string>
#include <vector>

#include "basin/ntk/kernel_minimum.h"

namespace basin {

/// What a condition says about the smallest eigenvalue of a kernel.
enum class Role {
  necessary,   ///< if it fails, the kernel is singular
  equivalent,  ///< the kernel is positive definite if and only if it holds
  sufficient,  ///< if all conditions of this role and the necessary ones hold, it is positive definite
};

/// measured >= threshold, or not.
struct Condition {
  std::string name;       ///< for programs: "rank_X"
  std::string statement;  ///< "rank X = N n"
  Role role;
  double measured, threshold;
  /// Whether `measured` is exact, a count of sizes or of equal or zero numbers. Else it is a rank: the number
  /// of singular values that are certainly positive, which rounding and underflow may make smaller than the
  /// true one.
  bool exact;
  std::string remedy;  ///< what would have to change; empty if it holds
  /// Where it is a count of something: of what, "parameters"; else empty.
  std::string counted{};

  bool holds() const { return measured >= threshold; }
};

/// Of sizes and ranks; the remedy is kept where the condition fails.
Condition condition(std::string name, std::string statement, Role role, Index measured, Index threshold,
                    bool exact, std::string remedy);
/// measured `counted` >= threshold, which is the number of `all`.
Condition count_condition(std::string name, std::string counted, const std::string& all, Role role,
                          Index measured, Index threshold, bool exact, std::string remedy);

/// A proven lower bound on the smallest eigenvalue, after all error allowances.
struct LowerBound {
  std::string name;     ///< for programs: "local"
  std::string formula;  ///< "lambda_min(X X^T) min_i lambda_min(sum_h T_ih T_ih^T)"
  Below bound;
};

/// Conditions and bounds of the kernel of a set of blocks, the sum of theirs.
struct KernelConditions {
  std::string blocks;  ///< "W_Q,W_K"
  std::vector<Condition> conditions;
  std::vector<LowerBound> bounds;
  /// Proven upper bound on the largest eigenvalue, the sum of the blocks' own.
  double upper_bound = 0;

  /// The first necessary or equivalent condition that fails; null if none does.
  const Condition* obstacle() const;
  /// Whether sizes, copies and zeros alone, what is exact, prove that the kernel is singular.
  bool refuted() const { return refutation() != nullptr; }
  /// The condition that does by most, of the least measured / threshold; null if none does.
  const Condition* refutation() const;
  /// Whether the conditions alone prove that the kernel is positive definite, however small its eigenvalues.
  bool sufficient() const;
  /// The largest lower bound.
  Below lower_bound() const;
};

/// With what conditions prove, where that is more: either end, and that a kernel is exactly singular.
KernelMinimum with_conditions(KernelMinimum minimum, const KernelConditions& conditions);

/// All that is known of a kernel: the ends of its spectrum, and the conditions on them.
struct KernelAnalysis {
  KernelMinimum minimum;
  KernelConditions conditions;
};

/// Singular values of a matrix A that differs from A', those at perturbed points, by rounding and underflow
/// only.
struct MeasuredValues {
  Vector<double> values;  ///< descending; all rows of them, with zeros beyond the columns
  double error = 0;       ///< of each: 10 max(rows, columns) eps |A| + 4 max |A - A'|_F, and what underflows
  Index rank = 0;         ///< how many are certainly positive
  Below smallest;         ///< the smallest is certainly not below this

  /// A number that the largest is certainly not above.
  double largest() const { return values[0] + error; }
};
/// `underflow`: an absolute error of A beyond what perturbed points show.
MeasuredValues measured_values(const Matrix<double>& A, const std::vector<Matrix<double>>& perturbed,
                               double underflow = 0);

/// The kernel (A A^T) (x) I of `outputs` columns from singular values of A, rank included. columns: of A.
KernelMinimum minimum_of(std::string name, const MeasuredValues& A, Index columns, Index outputs);

}  // namespace basin
