#include "basin/linalg/combinators.h"

#include <string>

#include "basin/linalg/errors.h"
#include "basin/linalg/orthogonal.h"

namespace basin {

DifferenceOperator::DifferenceOperator(const SelfAdjointOperator& A, const SelfAdjointOperator& B)
    : SelfAdjointOperator(A.rows()), A_(A), B_(B) {
  if (A.rows() != B.rows())
    throw InputError("DifferenceOperator: sizes " + std::to_string(A.rows()) + " and " +
                     std::to_string(B.rows()) + " differ");
  set_underflow(A.underflow() + B.underflow());
}

void DifferenceOperator::do_apply(ConstVectorsRef<double> V, VectorsRef<double> out) const {
  Vectors<double> second(V.rows(), V.cols());
  A_.apply(V, out);
  B_.apply(V, second);
  out -= second;
}

void DeflatedOperator::do_apply(ConstVectorsRef<double> V, VectorsRef<double> out) const {
  Vectors<double> rest = V;
  remove_(rest);
  A_.apply(rest, out);
  remove_(out);
  out += shift_ * (V - rest);
}

void FarthestPerturbed::do_apply(ConstVectorsRef<double> V, VectorsRef<double> out) const {
  others_.at(0)->apply(V, out);
  if (others_.size() == 1) return;
  Vectors<double> AV(V.rows(), V.cols()), other(V.rows(), V.cols());
  A_.apply(V, AV);
  for (std::size_t t = 1; t < others_.size(); ++t) {
    others_[t]->apply(V, other);
    for (Index j = 0; j < V.cols(); ++j)
      if ((other.col(j) - AV.col(j)).stableNorm() > (out.col(j) - AV.col(j)).stableNorm())
        out.col(j) = other.col(j);
  }
}

DiagonalBlock::DiagonalBlock(const SelfAdjointOperator& A, Index first, Index size)
    : SelfAdjointOperator(size), A_(A), first_(first) {
  if (first < 0 || size < 1 || first + size > A.rows())
    throw InputError("DiagonalBlock: rows " + std::to_string(first) + " to " +
                     std::to_string(first + size - 1) + " of " + std::to_string(A.rows()));
  set_underflow(A.underflow());
}

void DiagonalBlock::do_apply(ConstVectorsRef<double> V, VectorsRef<double> out) const {
  Vectors<double> all = Vectors<double>::Zero(A_.rows(), V.cols()), product(A_.rows(), V.cols());
  all.middleRows(first_, rows()) = V;
  A_.apply(all, product);
  out = product.middleRows(first_, rows());
}

Removal removal_of(const Vectors<double>& X) {
  return [&X](VectorsRef<double> V) { project_out(X, V); };
}

}  // namespace basin
