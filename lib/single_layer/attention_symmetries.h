/// The symmetries of one attention layer (MATHEMATICS.md, "Symmetries").
#pragma once

#include "basin/curvature/symmetries.h"
#include "basin/single_layer/attention_view.h"

namespace basin {

/// The tangents of all symmetries of an attention layer at a point, over its trained blocks: query-key gauge
/// (softmax) or rotations (Gaussian), value-output gauge, directions in the null space of a rank-deficient
/// neighbour, features that the data do not see, translations, and constants that heads trade with each
/// other.
///
/// A product takes about 12 H D d^2 operations a vector and no memory beyond the weights' own, whatever the
/// dimension of the span (which is 2 H d^2 and more). Nothing of the point is kept. Throws InputError for a
/// network that is not a single attention layer, and WorkError when squares of weights overflow.
Symmetries attention_symmetries(const ModelPoint<double>& point);

/// Where a head of a block stands in theta, seen as a matrix whose columns belong to the head dimension (W_O
/// as its transpose, D_out x d), and its numbers at the point.
BlockSlice head_block(const AttentionView& at, AttentionBlock block, Index head);
Vectors<double> head_values(const AttentionView& at, AttentionBlock block, Index head);

}  // namespace basin
