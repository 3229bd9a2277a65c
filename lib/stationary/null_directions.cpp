#include "basin/stationary/null_directions.h"

#include <algorithm>

#include "basin/linalg/dense.h"
#include "basin/linalg/random.h"

namespace basin {

NullDirections::NullDirections(const Symmetries& symmetries, const SelfAdjointOperator& H, double tolerance)
    : symmetries_(symmetries), curved_(H.rows(), 0) {
  const Index P = H.rows(), modes = symmetries.modes();
  const auto multiply = [&](const Vectors<double>& V) {
    Vectors<double> HV(P, V.cols());
    H.apply(V, HV);
    return HV;
  };
  // Pi H Omega spans the range of Pi H, the complement of the null directions, once Omega has more columns
  // than that has dimensions (Halko, Martinsson and Tropp, SIAM Review 53, 2011).
  for (Index columns = std::min<Index>(8, modes); columns > 0; columns = std::min(2 * columns, modes)) {
    Vectors<double> V(P, columns), in_span(P, columns);
    Random(0, "null directions").fill_normal(V);
    symmetries.project(multiply(V), in_span);
    const SingularPairs range = singular_pairs(std::move(in_span));
    Index found = 0;
    while (found < columns && range.values[found] > 1e-13 * range.values[0]) ++found;
    if (found == 0) return;
    Vectors<double> basis(P, found);
    symmetries.project(range.left.leftCols(found), basis);
    const SingularPairs svd = singular_pairs(multiply(basis));
    Index rank = 0;
    while (rank < svd.values.size() && svd.values[rank] > tolerance) ++rank;
    curved_ = basis * svd.vectors.leftCols(rank);
    if (rank < columns || columns == modes) return;
  }
}

void NullDirections::remove(VectorsRef<double> V) const {
  const Vectors<double> kept = curved_ * (curved_.transpose() * V);
  symmetries_.remove(V);
  V += kept;
}

}  // namespace basin
