/// Frobenius norms of the blocks of a symmetric operator and traces of its diagonal ones, with errors.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "basin/spectrum/trace.h"

namespace basin {

struct BlockRange {
  std::string name;
  Index first, size;  ///< rows and columns of the operator
};

struct BlockNorms {
  std::vector<BlockRange> blocks;
  Vectors<double> norms, errors;        ///< b x b, symmetric
  Vector<double> traces, trace_errors;  ///< b
  bool estimated = false;               ///< what the errors are: as in TraceEstimates
  Index products = 0;
};

/// Of an assembled matrix.
BlockNorms block_norms_of(const AssembledMatrix& assembled, const std::vector<BlockRange>& blocks);

/// The same of groups of these blocks, each of blocks (by their numbers) that are in no other: the groups are
/// then the blocks. groups: name and members.
BlockNorms grouped(const BlockNorms& norms,
                   const std::vector<std::pair<std::string, std::vector<Index>>>& groups);

/// |A_ab|_F^2 is the mean of |(A v)_a|^2 over standard normal v in block b, and of |(A v)_b|^2 over v in
/// block a: the mean of both, `probes` vectors for each block; the trace of A_bb that of v^T A v.
/// `row_errors`: of the operator's rows (row_rounding). Throws InputError for fewer than 2 probes, and
/// WorkError when a product or a norm is not finite.
BlockNorms estimated_block_norms(const SelfAdjointOperator& A, const Vector<double>& row_errors,
                                 const std::vector<BlockRange>& blocks, Index probes, std::uint64_t seed = 0,
                                 const Progress& progress = {});

}  // namespace basin
