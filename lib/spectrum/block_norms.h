/// Frobenius norms of the blocks of a symmetric operator, with errors.
#pragma once

#include <string>
#include <vector>

#include "basin/spectrum/trace.h"

namespace basin {

struct BlockRange {
  std::string name;
  Index first, size;  ///< rows and columns of the operator
};

struct BlockNorms {
  std::vector<BlockRange> blocks;
  Vectors<double> norms, errors;  ///< b x b, symmetric
  bool estimated = false;         ///< what the errors are: as in TraceEstimates
  Index products = 0;
};

/// Of an assembled matrix.
BlockNorms block_norms_of(const AssembledMatrix& assembled, const std::vector<BlockRange>& blocks);

/// |A_ab|_F^2 is the mean of |(A v)_a|^2 over standard normal v in block b, and of |(A v)_b|^2 over v in
/// block a: the mean of both, `probes` vectors for each block. `row_errors`: of the operator's rows
/// (row_rounding). Throws InputError for fewer than 2 probes, and WorkError when a product or a norm is not
/// finite.
BlockNorms estimated_block_norms(const SelfAdjointOperator& A, const Vector<double>& row_errors,
                                 const std::vector<BlockRange>& blocks, Index probes, std::uint64_t seed = 0,
                                 const Progress& progress = {});

}  // namespace basin
