#include "basin/linalg/linear_operator.h"

#include <algorithm>
#include <string>

#include "basin/linalg/errors.h"

namespace basin {
namespace {

void check_shapes(const char* product, Index from, Index to, ConstVectorsRef<double> in,
                  const VectorsRef<double>& out) {
  if (in.rows() == from && out.rows() == to && in.cols() == out.cols()) return;
  const auto shape = [](Index rows, Index cols) {
    return "(" + std::to_string(rows) + ", " + std::to_string(cols) + ")";
  };
  throw InputError(std::string("LinearOperator: ") + product + " maps " + shape(from, in.cols()) + " to " +
                   shape(to, in.cols()) + ", got " + shape(in.rows(), in.cols()) + " to " +
                   shape(out.rows(), out.cols()));
}

}  // namespace

void LinearOperator::apply(ConstVectorsRef<double> V, VectorsRef<double> out) const {
  check_shapes("apply", cols_, rows_, V, out);
  do_apply(V, out);
  products_ += V.cols();
}

void LinearOperator::apply_adjoint(ConstVectorsRef<double> U, VectorsRef<double> out) const {
  check_shapes("apply_adjoint", rows_, cols_, U, out);
  do_apply_adjoint(U, out);
  products_ += U.cols();
}

Vectors<double> assemble(const LinearOperator& A, const Progress& progress) {
  constexpr Index kBlock =
      16;  // wide enough for blocked products, narrow enough to keep the extra memory small
  Vectors<double> result(A.rows(), A.cols());
  for (Index first = 0; first < A.cols(); first += kBlock) {
    const Index k = std::min(kBlock, A.cols() - first);
    Vectors<double> unit = Vectors<double>::Zero(A.cols(), k);
    unit.middleRows(first, k).setIdentity();
    A.apply(unit, result.middleCols(first, k));
    report(progress, first + k, A.cols());
  }
  return result;
}

}  // namespace basin
