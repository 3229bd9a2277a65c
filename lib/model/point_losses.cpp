#include "basin/model/point_losses.h"

#include <algorithm>
#include <cmath>

#include "basin/linalg/errors.h"
#include "basin/linalg/parallel.h"
#include "basin/linalg/tree_sum.h"
#include "basin/model/labels.h"

namespace basin {

PointLosses::PointLosses(const ModelPoint<double>& of, ForwardPass<double> forward, std::size_t memory,
                         bool accuracy)
    : model_(of.model), data_(of.data), forward_(std::move(forward)), memory_(memory), accuracy_(accuracy) {
  if (!accuracy) return;
  if (!labelled(*data_)) throw InputError("the accuracy of data without labels");
  counting_ = counting_rows(model_->network(), *data_);
}

Index PointLosses::points_at_once() const {
  constexpr Index kItems = 16;  // for each thread, so that none waits for long
  Index numbers = model_->parameters().weight_count();
  if (model_->reparametrisation()) numbers += model_->network_parameters().weight_count();
  const auto room = static_cast<Index>(memory_ / (sizeof(double) * static_cast<std::size_t>(numbers)));
  const Index enough = (kItems * thread_slots() + forward_.chunks() - 1) / forward_.chunks();
  return std::clamp<Index>(room, 1, enough);
}

void PointLosses::evaluate(Index point, Index chunk, Index slot) {
  const Batch<double>& F = forward_.outputs(chunk, weights_[point], work_[slot]);
  const Index item = point * forward_.chunks() + chunk;
  parts_[item] = forward_.loss(chunk, F);
  if (!accuracy_) return;
  right_[item] =
      F[0].allFinite()
          ? static_cast<double>(right_rows<double>(forward_.first_row(chunk), F[0], *data_, counting_))
          : std::nan("");
}

double PointLosses::accuracy_of(Index point) const {
  const Index chunks = forward_.chunks(), rows = data_->samples * model_->network().output().tokens;
  const double right = tree_sum(std::span(right_).subspan(point * chunks, chunks));
  return std::isnan(right) ? right : accuracy(static_cast<Index>(right), rows, counting_);
}

PointLosses::Values PointLosses::at(Index count,
                                    const std::function<void(Index, Vector<double>&)>& set_weights,
                                    const Progress& progress) {
  const Index chunks = forward_.chunks(), at_once = std::min(count, points_at_once());
  weights_.resize(at_once);
  parts_.resize(at_once * chunks);
  right_.resize(at_once * chunks);
  work_.resize(thread_slots());
  named_.resize(thread_slots());
  Values values{Vector<double>(count), Vector<double>(accuracy_ ? count : 0)};
  for (Index first = 0; first < count; first += at_once) {
    const Index here = std::min(at_once, count - first);
    parallel_for(here, [&](Index i, Index slot) {
      if (!model_->reparametrisation()) return set_weights(first + i, weights_[i]);
      set_weights(first + i, named_[slot]);
      model_->network_weights(named_[slot], weights_[i]);
    });
    parallel_for(here * chunks,
                 [&](Index item, Index slot) { evaluate(item / chunks, item % chunks, slot); });
    for (Index i = 0; i < here; ++i) {
      values.losses[first + i] = tree_sum(std::span<const double>(parts_).subspan(i * chunks, chunks));
      if (accuracy_) values.accuracies[first + i] = accuracy_of(i);
    }
    report(progress, first + here, count);
  }
  return values;
}

}  // namespace basin
