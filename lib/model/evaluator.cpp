#include "basin/model/evaluator.h"

#include <algorithm>

#include "basin/linalg/tree_sum.h"

namespace basin {

template <class S>
LossEvaluator<S>::LossEvaluator(const ModelPoint<S>& of, Index chunk_rows)
    : model_(of.model),
      data_(of.data),
      loss_(*model_, *data_),
      samples_per_chunk_(std::max<Index>(1, chunk_rows / model_->network().input().tokens)),
      losses_((data_->samples + samples_per_chunk_ - 1) / samples_per_chunk_) {}

template <class S>
S LossEvaluator<S>::operator()(const Vector<S>& weights) {
  const Shape in = model_->network().input(), out = model_->network().output();
  const Vector<S>& u = model_->network_weights(weights, made_);
  const BlockView<const S> w(u.data(), 1, u.size(), model_->network_parameters().weight_slots());
  for (Index c = 0; c < static_cast<Index>(losses_.size()); ++c) {
    const Index first = c * samples_per_chunk_, count = std::min(samples_per_chunk_, data_->samples - first);
    const BatchView<const S> x(data_->X.data() + first * in.size(), 1, count * in.tokens, in.width);
    saved_.context = data_->context(first, count, in.tokens);
    saved_.context.memory = 0;  // nothing comes after the value
    model_->network().value(w, x, saved_, outputs_);
    losses_[c] = loss_.value(first * out.tokens, outputs_[0]);
  }
  return tree_sum<S>(losses_);
}

template class LossEvaluator<double>;
template class LossEvaluator<float>;

}  // namespace basin
