/// Operators made of operators.
#pragma once

#include <functional>
#include <vector>

#include "basin/linalg/linear_operator.h"

namespace basin {

// Each is a view: the operators it is made of must outlive it.

/// A - B.
class DifferenceOperator final : public SelfAdjointOperator {
 public:
  /// Throws InputError when the sizes differ.
  DifferenceOperator(const SelfAdjointOperator& A, const SelfAdjointOperator& B);

 private:
  void do_apply(ConstVectorsRef<double> V, VectorsRef<double> out) const override;
  const SelfAdjointOperator &A_, &B_;
};

/// Changes vectors in place to their component in the orthogonal complement of some space.
using Removal = std::function<void(VectorsRef<double>)>;

/// A on the complement of a space, with the space itself moved out of the way:
///
///     (I - Pi) A (I - Pi) + shift Pi,    Pi the orthogonal projector on the space
///
/// Its eigenvalues are those of A restricted to the complement, and `shift` as often as the space has
/// dimensions.
class DeflatedOperator final : public SelfAdjointOperator {
 public:
  DeflatedOperator(const SelfAdjointOperator& A, Removal remove, double shift)
      : SelfAdjointOperator(A.rows()), A_(A), remove_(std::move(remove)), shift_(shift) {
    set_underflow(A.underflow());
  }

 private:
  void do_apply(ConstVectorsRef<double> V, VectorsRef<double> out) const override;
  const SelfAdjointOperator& A_;
  Removal remove_;
  double shift_;
};

/// Of several operators that differ from A by rounding, for each vector the product that is farthest from
/// A's: what one of them shows of that rounding may be too little by chance.
class FarthestPerturbed final : public SelfAdjointOperator {
 public:
  /// At least one other.
  FarthestPerturbed(const SelfAdjointOperator& A, std::vector<const SelfAdjointOperator*> others)
      : SelfAdjointOperator(A.rows()), A_(A), others_(std::move(others)) {}

 private:
  void do_apply(ConstVectorsRef<double> V, VectorsRef<double> out) const override;
  const SelfAdjointOperator& A_;
  std::vector<const SelfAdjointOperator*> others_;
};

/// The diagonal block of A of the rows first, ..., first + size - 1.
class DiagonalBlock final : public SelfAdjointOperator {
 public:
  /// Throws InputError for rows that A does not have.
  DiagonalBlock(const SelfAdjointOperator& A, Index first, Index size);

 private:
  void do_apply(ConstVectorsRef<double> V, VectorsRef<double> out) const override;
  const SelfAdjointOperator& A_;
  Index first_;
};

/// V - X X^T V for orthonormal columns X, twice over, so that nothing but rounding is left.
Removal removal_of(const Vectors<double>& X);

}  // namespace basin
