#include "basin/model/forward_pass.h"

#include <algorithm>

#include "basin/linalg/parallel.h"

namespace basin {

template <class S>
ForwardPass<S>::ForwardPass(const ModelPoint<S>& of, Index chunk_rows)
    : model_(of.model),
      data_(of.data),
      loss_(*model_, *data_),
      samples_per_chunk_(std::max<Index>(1, chunk_rows / model_->network().input().tokens)),
      chunks_((data_->samples + samples_per_chunk_ - 1) / samples_per_chunk_),
      stages_(stages(model_->network())) {
  for (const Stage<S>& stage : stages_) kinds_ = std::max(kinds_, stage.kind + 1);
}

template <class S>
ForwardPass<S>::ForwardPass(const ModelPoint<S>& of, std::span<const BlockSlot> moving, std::size_t memory,
                            Index chunk_rows)
    : ForwardPass(of, chunk_rows) {
  const auto moves = [&](const Stage<S>& stage) {
    const auto own = moving.subspan(stage.first_block, stage.blocks);
    return std::any_of(own.begin(), own.end(), [](const BlockSlot& slot) { return slot.offset >= 0; });
  };
  // The last stage is what there is left to do, even if nothing moves.
  while (fixed_ + 1 < stages_.size() && !moves(stages_[fixed_])) ++fixed_;
  Vector<S> made;
  if (fixed_ > 0) keep(model_->network_weights(of.weights, made), memory);
}

template <class S>
void ForwardPass<S>::keep(const Vector<S>& weights, std::size_t memory) {
  const auto each = static_cast<std::size_t>(samples_per_chunk_ * stages_[fixed_].layer->input().size());
  const std::size_t room = memory / std::max<std::size_t>(1, each * sizeof(S));
  kept_.resize(std::min(room, static_cast<std::size_t>(chunks_)));
  std::vector<Workspace> work(thread_slots());
  parallel_for(kept_chunks(), [&](Index c, Index slot) {
    const BatchView<const S> x = run(c, 0, fixed_, inputs(c), weights, work[slot]).view();
    kept_[c].resize(1, x.rows(), x.cols());
    kept_[c][0] = x[0];
  });
}

template <class S>
Index ForwardPass<S>::first_row(Index chunk) const {
  return chunk * samples_per_chunk_ * model_->network().output().tokens;
}

template <class S>
Index ForwardPass<S>::samples_in(Index chunk) const {
  return std::min(samples_per_chunk_, data_->samples - chunk * samples_per_chunk_);
}

template <class S>
BatchView<const S> ForwardPass<S>::inputs(Index chunk) const {
  const Shape in = model_->network().input();
  return {data_->X.data() + chunk * samples_per_chunk_ * in.size(), 1, samples_in(chunk) * in.tokens,
          in.width};
}

template <class S>
Batch<S>& ForwardPass<S>::run(Index chunk, std::size_t from, std::size_t to, BatchView<const S> x,
                              const Vector<S>& weights, Workspace& work) const {
  const BlockView<const S> w(weights.data(), 1, weights.size(), model_->network_parameters().weight_slots());
  work.states.resize(kinds_);
  Context context =
      data_->context(chunk * samples_per_chunk_, samples_in(chunk), model_->network().input().tokens);
  context.memory = 0;  // nothing comes after the value
  for (std::size_t i = 0; i < to; ++i) {
    const Stage<S>& stage = stages_[i];
    if (i >= from) {
      Saved<S>& state = work.states[stage.kind];
      state.context = context;
      Batch<S>& y = work.between[i % 2];
      stage.layer->value(w.part(stage.first_block, stage.blocks), x, state, y);
      x = y.view();
    }
    if (i + 1 == to) break;
    if (i == 0) work.mask.assign(context.mask.begin(), context.mask.end());
    stage.layer->mask(work.mask);
    context.mask = work.mask;
    if (stage.layer->output().tokens != stage.layer->input().tokens) context.ids = {}, context.types = {};
  }
  return work.between[(to - 1) % 2];
}

template <class S>
const Batch<S>& ForwardPass<S>::outputs(Index chunk, const Vector<S>& weights, Workspace& work) const {
  const bool kept = chunk < kept_chunks();
  return run(chunk, kept ? fixed_ : 0, stages_.size(), kept ? kept_[chunk].view() : inputs(chunk), weights,
             work);
}

template <class S>
S ForwardPass<S>::loss(Index chunk, const Batch<S>& outputs) const {
  return loss_.value(first_row(chunk), outputs[0]);
}

template class ForwardPass<double>;
template class ForwardPass<float>;

}  // namespace basin
