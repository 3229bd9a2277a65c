#include "basin/linalg/lobpcg.h"

#include <algorithm>

#include "basin/linalg/dense.h"
#include "basin/linalg/errors.h"
#include "basin/linalg/orthogonal.h"
#include "basin/linalg/random.h"

namespace basin {
namespace {

/// The columns of V made orthonormal, to each other and to the columns of Q; those that are dependent are
/// dropped.
Vectors<double> orthonormalised(Vectors<double> V, const Vectors<double>& Q) {
  const Index count = orthonormalise(Q, V).count;
  return V.leftCols(count);
}

Vectors<double> side_by_side(const Vectors<double>& A, const Vectors<double>& B) {
  Vectors<double> both(A.rows(), A.cols() + B.cols());
  both << A, B;
  return both;
}

}  // namespace

SmallestPair smallest_pair(const SelfAdjointOperator& A,
                           const std::function<void(VectorsRef<double>)>& precondition,
                           const LobpcgOptions& options, const Progress& progress) {
  const Index n = A.rows(), block = std::min(options.block, n);
  SmallestPair best;
  const auto product = [&](const Vectors<double>& V) {
    Vectors<double> out(n, V.cols());
    A.apply(V, out);
    if (!out.allFinite()) throw WorkError("a product with the operator is not finite");
    best.status.products += V.cols();
    return out;
  };
  // Where the preconditioner overflows, go on without it.
  const auto preconditioned = [&](const Vectors<double>& V) {
    Vectors<double> out = V;
    precondition(out);
    return out.allFinite() ? out : V;
  };
  Vectors<double> start(n, block);
  Random(options.seed, "lobpcg").fill_normal(start);
  // S = [X, P]: approximations, and the directions they last moved in.
  Vectors<double> S = orthonormalised(preconditioned(start), Vectors<double>(n, 0)), AS = product(S);
  for (Index kept = S.cols();;) {
    const SymmetricEigen ritz = symmetric_eigen(gram(S, AS), true);
    const Index b = std::min(block, S.cols());
    const Vectors<double> C = ritz.vectors.leftCols(b);
    Vectors<double> moved = C;
    moved.topRows(std::min(kept, moved.rows())).setZero();  // what comes from P and W alone
    moved = orthonormalised(moved, C);
    const Vectors<double> X = S * C, AX = AS * C;
    const Vectors<double> R = AX - X * ritz.values.head(b).asDiagonal();
    best.value = ritz.values[0];
    best.vector = X.col(0).normalized();
    best.residual = R.col(0).norm();
    best.status.converged = best.residual <= options.tolerance * best.value;
    report(progress, std::min(best.status.products, options.max_products), options.max_products);
    if (best.status.converged || best.status.products >= options.max_products || S.cols() == n) break;
    S = side_by_side(X, S * moved);
    AS = side_by_side(AX, AS * moved);
    const Vectors<double> W = orthonormalised(preconditioned(R), S);
    if (W.cols() == 0) break;
    AS = side_by_side(AS, product(W));
    S = side_by_side(S, W);
    kept = b;
  }
  best.status.text = (best.status.converged ? "the residual is within the tolerance after "
                                            : "the residual is above the tolerance after ") +
                     std::to_string(best.status.products) + " products";
  return best;
}

}  // namespace basin
