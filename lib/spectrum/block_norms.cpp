#include "basin/spectrum/block_norms.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "basin/linalg/errors.h"
#include "basin/linalg/random.h"

namespace basin {
namespace {

/// The Frobenius norm of a block, of its columns' norms.
double norm_of(const Vectors<double>& A, const BlockRange& a, const BlockRange& b) {
  Vector<double> columns(b.size);
  for (Index j = 0; j < b.size; ++j) columns[j] = A.col(b.first + j).segment(a.first, a.size).stableNorm();
  return columns.stableNorm();
}

/// Adds what rounding does: the errors of a block are some of those of its rows, and of its columns.
void add_rounding(BlockNorms& result, const Vector<double>& row_errors) {
  const auto rows = [&](const BlockRange& r) { return row_errors.segment(r.first, r.size).stableNorm(); };
  const double sums = static_cast<double>(row_errors.size() + 4) * std::numeric_limits<double>::epsilon();
  for (Index a = 0; a < result.norms.rows(); ++a)
    for (Index b = 0; b < result.norms.cols(); ++b)
      result.errors(a, b) +=
          std::min(rows(result.blocks[a]), rows(result.blocks[b])) + sums * result.norms(a, b);
  if (!result.norms.allFinite() || !result.errors.allFinite())
    throw WorkError("the norm of a block overflows");
}

}  // namespace

BlockNorms block_norms_of(const AssembledMatrix& assembled, const std::vector<BlockRange>& blocks) {
  const auto count = static_cast<Index>(blocks.size());
  BlockNorms result = {blocks, Vectors<double>(count, count), Vectors<double>::Zero(count, count), false, 0};
  for (Index a = 0; a < count; ++a)
    for (Index b = 0; b < count; ++b) result.norms(a, b) = norm_of(assembled.matrix, blocks[a], blocks[b]);
  add_rounding(result, assembled.row_errors);
  return result;
}

BlockNorms estimated_block_norms(const SelfAdjointOperator& A, const Vector<double>& row_errors,
                                 const std::vector<BlockRange>& blocks, Index probes, std::uint64_t seed,
                                 const Progress& progress) {
  if (probes < 2)
    throw InputError("block norms: expected at least 2 probes, found " + std::to_string(probes));
  const auto count = static_cast<Index>(blocks.size());
  const auto n = static_cast<double>(probes);
  // Mean and squared standard error of |(A v)_a / scale|^2, v in block b, the scale that of the part.
  Vectors<double> mean(count, count), variance(count, count), scale(count, count);
  BlockNorms result = {blocks, Vectors<double>(count, count), Vectors<double>(count, count), true, 0};
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
      const auto part = AV.middleRows(blocks[a].first, blocks[a].size);
      const double largest = part.cwiseAbs().maxCoeff();
      scale(a, b) = largest > 0 ? std::exp2(std::floor(std::log2(largest))) : 0;
      const Vector<double> squares = (part / (largest > 0 ? scale(a, b) : 1)).colwise().squaredNorm();
      mean(a, b) = squares.mean();
      variance(a, b) = (squares.array() - mean(a, b)).square().sum() / (n * (n - 1));
    }
    report(progress, b + 1, count);
  }
  for (Index a = 0; a < count; ++a)
    for (Index b = 0; b < count; ++b) {
      const double common = std::max(scale(a, b), scale(b, a)), unit = common > 0 ? common : 1;
      const double first = std::pow(scale(a, b) / unit, 2), second = std::pow(scale(b, a) / unit, 2);
      const double square = (first * mean(a, b) + second * mean(b, a)) / 2;
      // On the diagonal both are the same vectors.
      const double squared_error =
          (first * first * variance(a, b) + second * second * variance(b, a)) / (a == b ? 2 : 4);
      const Estimate norm = root_of({square, interval_factor(probes) * std::sqrt(squared_error)});
      result.norms(a, b) = unit * norm.value;
      result.errors(a, b) = unit * norm.error;
    }
  add_rounding(result, row_errors);
  return result;
}

}  // namespace basin
