/// The loss alone, for many parameter vectors.
#pragma once

#include <vector>

#include "basin/model/forward_pass.h"

namespace basin {

/// f at any weights, forward pass only. Works in the calling thread and keeps working memory: one evaluator a
/// thread.
template <class S>
class LossEvaluator {
 public:
  /// Of the model and data of a point. chunk_rows as in LinearizationOptions: with the same value the loss
  /// has the same bits.
  explicit LossEvaluator(const ModelPoint<S>& of, Index chunk_rows = 256);

  /// The loss at all weights of the model; not finite where the arithmetic overflows.
  S operator()(const Vector<S>& weights);

 private:
  std::shared_ptr<const Model<S>> model_;
  ForwardPass<S> forward_;
  typename ForwardPass<S>::Workspace work_;
  Vector<S> made_;         // weights that the rules take, where they are others
  std::vector<S> losses_;  // of the chunks
};

}  // namespace basin
