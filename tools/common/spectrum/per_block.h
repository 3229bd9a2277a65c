/// basin-hessian --per-block: which diagonal blocks there are, and what is found of each.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "basin/hdf5/file.h"
#include "basin/spectrum/heterogeneity.h"
#include "basin/stationary/stationarity.h"
#include "common/command/setup.h"
#include "common/spectrum/results.h"

namespace basin::tools {

/// A diagonal block of a matrix over theta: of one or several parameter blocks, or of one head.
struct DiagonalPart {
  std::string name;                 ///< "blocks.0.attention.W_Q", with --by-head "blocks.0.attention.W_Q[2]"
  std::vector<std::string> blocks;  ///< the Hessian of these holds it
  Index first = 0, size = 0;        ///< its rows in that
};

/// The trained blocks that --per-block says; with --by-tensor one for each tensor of the checkpoint, with
/// --by-head one for each head of those that have heads. Throws InputError for patterns that fit none, for a
/// block that is not trained, and for more eigenvalues than one of them has.
std::vector<DiagonalPart> diagonal_parts(const Command& command, const Setup& setup);

/// What is asked of a part of so many rows: at least one eigenvalue at either end, trace and Frobenius norm,
/// and signs where it is small.
SpectrumRequest request_of_part(SpectrumRequest request, Index size);

/// A share of eigenvalues with the interval it lies in, and how that is known: "counted", "proven",
/// "estimated" (95 %), "at least"; or all NaN and "".
struct NegativeShare {
  double value, lower, upper;
  std::string known;
};
NegativeShare negative_share(const SpectrumResults& results);

/// All diagonal parts of one matrix.
struct PerBlock {
  std::vector<DiagonalPart> parts;
  std::vector<SpectrumResults> results;  ///< one for each part
  std::optional<Heterogeneity> heterogeneity;
};

/// The differences between densities, where there are two or more.
void compare_densities(PerBlock& of);

/// The sharpest and the most negative block, in a sentence; with a point, whether that is stationary.
std::string per_block_verdict(const PerBlock& of, const Stationarity* point = nullptr);

/// The table, after the verdict.
void say_per_block(Command& command, const PerBlock& of);

/// `prefix`/per_block; vectors: the eigenvectors, too.
void write_per_block(hdf5::Writer& file, const std::string& prefix, const PerBlock& of, bool vectors);

}  // namespace basin::tools
