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
  for (Index b = 0; b < result.traces.size(); ++b) {
    const BlockRange& range = result.blocks[static_cast<std::size_t>(b)];
    // a sum of as many terms as the block has rows, each no larger than the norm
    result.trace_errors[b] += row_errors.segment(range.first, range.size).lpNorm<1>() +
                              sums * std::sqrt(static_cast<double>(range.size)) * result.norms(b, b);
  }
  if (!result.norms.allFinite() || !result.errors.allFinite() || !result.traces.allFinite() ||
      !result.trace_errors.allFinite())
    throw WorkError("the norm of a block overflows");
}

/// Room for so many blocks.
BlockNorms empty_norms(const std::vector<BlockRange>& blocks, bool estimated) {
  const auto count = static_cast<Index>(blocks.size());
  return {blocks,
          Vectors<double>::Zero(count, count),
          Vectors<double>::Zero(count, count),
          Vector<double>::Zero(count),
          Vector<double>::Zero(count),
          estimated,
          0};
}

}  // namespace

BlockNorms block_norms_of(const AssembledMatrix& assembled, const std::vector<BlockRange>& blocks) {
  const auto count = static_cast<Index>(blocks.size());
  BlockNorms result = empty_norms(blocks, false);
  for (Index a = 0; a < count; ++a)
    result.traces[a] = assembled.matrix.diagonal().segment(blocks[a].first, blocks[a].size).sum();
  for (Index a = 0; a < count; ++a)
    for (Index b = 0; b < count; ++b) result.norms(a, b) = norm_of(assembled.matrix, blocks[a], blocks[b]);
  add_rounding(result, assembled.row_errors);
  return result;
}

BlockNorms grouped(const BlockNorms& norms,
                   const std::vector<std::pair<std::string, std::vector<Index>>>& groups) {
  std::vector<BlockRange> ranges;
  for (const auto& [name, members] : groups) {
    ranges.push_back({name, 0, 0});
    for (const Index b : members) ranges.back().size += norms.blocks[static_cast<std::size_t>(b)].size;
  }
  BlockNorms result = empty_norms(ranges, norms.estimated);
  // a norm is the length of the norms of its parts, and its error no more than that of their errors
  const auto length = [&](const Vectors<double>& of, std::size_t a, std::size_t b) {
    Vector<double> parts(static_cast<Index>(groups[a].second.size() * groups[b].second.size()));
    Index k = 0;
    for (const Index row : groups[a].second)
      for (const Index column : groups[b].second) parts[k++] = of(row, column);
    return parts.stableNorm();
  };
  for (std::size_t a = 0; a < groups.size(); ++a) {
    const auto row = static_cast<Index>(a);
    for (std::size_t b = 0; b < groups.size(); ++b) {
      result.norms(row, static_cast<Index>(b)) = length(norms.norms, a, b);
      result.errors(row, static_cast<Index>(b)) = length(norms.errors, a, b);
    }
    for (const Index member : groups[a].second) {
      result.traces[row] += norms.traces[member];
      result.trace_errors[row] += norms.trace_errors[member];
    }
  }
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
  BlockNorms result = empty_norms(blocks, true);
  for (Index b = 0; b < count; ++b) {
    Vectors<double> inner(blocks[b].size, probes), V = Vectors<double>::Zero(A.rows(), probes),
                                                   AV(A.rows(), probes);
    Random(seed, "block norms " + blocks[b].name).fill_normal(inner);
    V.middleRows(blocks[b].first, blocks[b].size) = inner;
    A.apply(V, AV);
    result.products += probes;
    if (!AV.allFinite())
      throw WorkError("a product of the operator is not finite: its norms are not defined");
    const Vector<double> forms =
        inner.cwiseProduct(AV.middleRows(blocks[b].first, blocks[b].size)).colwise().sum();
    result.traces[b] = forms.mean();
    result.trace_errors[b] = interval_factor(probes) * (forms.array() - forms.mean()).matrix().stableNorm() /
                             std::sqrt(n * (n - 1));
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
