/// The blocks of single steps of a network as slices of its weights.
#pragma once

#include <set>
#include <string>
#include <vector>

#include "basin/curvature/visibility.h"
#include "basin/curvature/weight_tangents.h"

namespace basin {

bool is_layer(const GraphStep& step, const char* type);
bool is_norm(const GraphStep& step);
bool is_relu(const GraphStep& step);
/// A linear layer or attention: what takes its input and gives its output are maps x W + b.
bool is_affine(const GraphStep& step);

/// The steps that take an edge, each as often as it does.
std::vector<const GraphStep*> readers_of(const NetworkGraph& graph, Index e);

/// The blocks of the steps, and which of them stand in two places. The visibility must outlive it.
class StepBlocks {
 public:
  explicit StepBlocks(const Visibility& seen);
  /// A bias, gain or shift, 1 x width of the output; without an entry where there is none.
  WeightSlice row(const GraphStep& step, const std::string& name) const;
  /// W of a linear layer, D x O; of a tied one the transpose of what it is tied to.
  WeightSlice linear(const GraphStep& step) const;
  /// A table that is looked up, rows x width.
  WeightSlice table(const GraphStep& step, const std::string& name) const;
  /// Slice h of a block, rows x cols as it is seen.
  static WeightSlice slice(const ParameterLayout::Entry* e, Index rows, Index cols, Index h = 0,
                           bool transposed = false);
  bool is_tied(const WeightSlice& s) const { return tied_.contains(s.entry); }

 private:
  const Visibility& seen_;
  std::set<const ParameterLayout::Entry*> tied_;
};

/// x W + b, W: D x O, b: 1 x O.
struct AffineMap {
  WeightSlice W, b;
};

/// What an affine step multiplies its input with: of attention queries, keys and values, head by head.
std::vector<AffineMap> maps_of_input(const Visibility& seen, const StepBlocks& blocks, const GraphStep& step);

/// What gives its output: of attention all heads together, (H d) x D_out.
AffineMap map_of_output(const Visibility& seen, const StepBlocks& blocks, const GraphStep& step);

}  // namespace basin
