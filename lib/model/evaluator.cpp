#include "basin/model/evaluator.h"

#include "basin/linalg/tree_sum.h"

namespace basin {

template <class S>
LossEvaluator<S>::LossEvaluator(const ModelPoint<S>& of, Index chunk_rows)
    : model_(of.model), forward_(of, chunk_rows), losses_(forward_.chunks()) {}

template <class S>
S LossEvaluator<S>::operator()(const Vector<S>& weights) {
  const Vector<S>& u = model_->network_weights(weights, made_);
  for (Index c = 0; c < forward_.chunks(); ++c) losses_[c] = forward_.loss(c, forward_.outputs(c, u, work_));
  return tree_sum<S>(losses_);
}

template class LossEvaluator<double>;
template class LossEvaluator<float>;

}  // namespace basin
