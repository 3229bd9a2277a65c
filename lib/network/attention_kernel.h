/// Attention kernels: how queries and keys of one sample and head become attention weights.
#pragma once

#include "basin/linalg/types.h"

namespace basin {

/// A map (Q, K) -> A from queries and keys to attention weights, with its derivative rules.
///     Q, K: n x d      A: n x n, row k the weights with which token k reads the others (the paper's S)
/// An empty dQ, dK or dA stands for zero. Results are overwritten. What a token does not see has weight 0 in
/// A, and with that in all rules.
template <class S>
class AttentionKernel {
 public:
  using In = ConstMatrixRef<S>;
  using Out = MatrixRef<S>;

  virtual ~AttentionKernel() = default;
  /// A = A(Q, K). sees: n x n, 1 where token k sees token l, else 0; empty: all see all.
  virtual void value(In Q, In K, In sees, Out A) const = 0;
  /// dA = DA(Q, K) [dQ, dK]
  virtual void tangent(In Q, In K, In A, In dQ, In dK, Out dA) const = 0;
  /// (Qbar, Kbar) = DA(Q, K)^T Abar
  virtual void adjoint(In Q, In K, In A, In Abar, Out Qbar, Out Kbar) const = 0;
  /// The derivative of the adjoint rule along (dQ, dK, dAbar); dA = DA [dQ, dK].
  virtual void tangent_of_adjoint(In Q, In K, In A, In Abar, In dQ, In dK, In dA, In dAbar, Out dQbar,
                                  Out dKbar) const = 0;
};

}  // namespace basin
