#include "linalg/combinators.h"

#include <string>

#include "linalg/errors.h"

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

Removal removal_of(const Vectors<double>& X) {
  return [&X](VectorsRef<double> V) {
    for (int pass = 0; pass < 2 && X.cols() > 0; ++pass) V -= X * (X.transpose() * V);
  };
}

}  // namespace basin
