/// When can the kernels of an attention layer be positive definite? (ntk/MATHEMATICS.md, "Conditions".)
#pragma once

#include <algorithm>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "basin/ntk/kernel_minimum.h"
#include "basin/single_layer/attention_factors.h"

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

  bool holds() const { return measured >= threshold; }
};

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
  /// The first condition that does; null if none does.
  const Condition* refutation() const;
  /// Whether the conditions alone prove that the kernel is positive definite, however small its eigenvalues.
  bool sufficient() const;
  /// The largest lower bound.
  Below lower_bound() const;
};

/// Ranks of the stacked inputs: of X, of the inputs centred in each sample, and their difference e.
struct InputRanks {
  Index plain = 0, centred = 0;
  Index constant() const { return plain - centred; }
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
using Make = std::function<Matrix<double>(const AttentionFactors&)>;
/// Of the matrix that `make` makes of data and output weights.
MeasuredValues measured_values(const MeasuredFactors& f, const Make& make);
/// Of a matrix that `make` makes of attention. Where rounding or underflow hides that its rank is full, rows
/// are divided by their sizes: that changes no rank, and rows of vanishing attention keep their digits.
MeasuredValues measured_attention_values(const MeasuredFactors& f, const Make& make);

/// Measures once what the conditions of all kernels at a point need.
class InitialisationConditions {
 public:
  /// `factors` must outlive this.
  explicit InitialisationConditions(const MeasuredFactors& factors);

  const InputRanks& ranks() const { return ranks_; }
  /// Of the kernel that is the sum over `blocks`, a set of attention_blocks(). Throws InputError for an
  /// unknown one.
  KernelConditions of(const std::vector<std::string>& blocks) const;

 private:
  using Blocks = std::vector<AttentionBlock>;
  KernelConditions of_output() const;
  KernelConditions of_values() const;
  KernelConditions of_projections(const Blocks& blocks) const;
  Condition count(const Blocks& blocks) const;
  Index largest_rank(Index heads) const;
  std::vector<Condition> of_tokens(const Blocks& blocks) const;

  const MeasuredFactors& measured_;
  const AttentionFactors& f_;
  MeasuredValues inputs_, centred_;
  InputRanks ranks_;
  Index copies_;     ///< of the token that occurs most often
  Index distinct_;   ///< tokens that differ from all others, or are in another sample
  Index different_;  ///< tokens, wherever they are
  Index nonzero_;    ///< tokens that are not zero
};

/// Bytes that takes at its peak, factors included: the local Jacobians of a sample and their singular values,
/// on every thread.
double conditions_bytes(const AttentionSpec& spec, Index samples);

}  // namespace basin
