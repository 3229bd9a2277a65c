/// When can the kernels of an attention layer be positive definite? (ntk/MATHEMATICS.md, "Conditions".)
#pragma once

#include <algorithm>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "basin/ntk/conditions.h"
#include "basin/single_layer/attention_factors.h"

namespace basin {

/// Ranks of the stacked inputs: of X, of the inputs centred in each sample, and their difference e.
struct InputRanks {
  Index plain = 0, centred = 0;
  Index constant() const { return plain - centred; }
};

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
