#include "spectrum/block_norms.h"

#include <cmath>

#include "linalg/errors.h"
#include "linalg/random.h"

namespace basin {

BlockNorms exact_block_norms(const Vectors<double>& matrix, const std::vector<BlockRange>& blocks) {
  const auto count = static_cast<Index>(blocks.size());
  BlockNorms result = {blocks, Vectors<double>::Zero(count, count), Vectors<double>::Zero(count, count), true,
                       0};
  for (Index a = 0; a < count; ++a)
    for (Index b = 0; b < count; ++b)
      result.norms(a, b) =
          matrix.block(blocks[a].first, blocks[b].first, blocks[a].size, blocks[b].size).stableNorm();
  return result;
}

BlockNorms estimated_block_norms(const SelfAdjointOperator& A, const std::vector<BlockRange>& blocks,
                                 Index probes, std::uint64_t seed, const Progress& progress) {
  if (probes < 2)
    throw InputError("block norms: expected at least 2 probes, found " + std::to_string(probes));
  const auto count = static_cast<Index>(blocks.size());
  const auto n = static_cast<double>(probes);
  // Mean and squared standard error of |(A v)_a|^2, v in block b.
  Vectors<double> mean(count, count), variance(count, count);
  BlockNorms result = {blocks, Vectors<double>(count, count), Vectors<double>(count, count), false, 0};
  for (Index b = 0; b < count; ++b) {
    Vectors<double> inner(blocks[b].size, probes), V = Vectors<double>::Zero(A.rows(), probes),
                                                   AV(A.rows(), probes);
    Random(seed, "block norms " + blocks[b].name).fill_normal(inner);
    V.middleRows(blocks[b].first, blocks[b].size) = inner;
    A.apply(V, AV);
    result.products += probes;
    if (!AV.allFinite())
      throw WorkError("a product of the operator is not finite: its norms are not defined");
    for (Index a = 0; a < count; ++a) {
      const Vector<double> squares = AV.middleRows(blocks[a].first, blocks[a].size).colwise().squaredNorm();
      mean(a, b) = squares.mean();
      variance(a, b) = (squares.array() - mean(a, b)).square().sum() / (n * (n - 1));
    }
    report(progress, b + 1, count);
  }
  for (Index a = 0; a < count; ++a)
    for (Index b = 0; b < count; ++b) {
      const double square = a == b ? mean(a, a) : (mean(a, b) + mean(b, a)) / 2;
      const double error = std::sqrt(a == b ? variance(a, a) : (variance(a, b) + variance(b, a)) / 4);
      result.norms(a, b) = std::sqrt(square);
      result.errors(a, b) = square > 0 ? error / (2 * std::sqrt(square)) : 0;
    }
  return result;
}

}  // namespace basin
