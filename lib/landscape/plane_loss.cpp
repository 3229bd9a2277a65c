#include "basin/landscape/plane_loss.h"

#include <cmath>

#include "basin/linalg/errors.h"
#include "basin/linalg/parallel.h"
#include "basin/linalg/tree_sum.h"
#include "basin/model/labels.h"

namespace basin {

PlaneLoss::PlaneLoss(const ModelPoint<double>& point, const Vector<double>& u, const Vector<double>& v,
                     const Grid& grid)
    : point_(point), u_(u), v_(v), grid_(grid), pieces_(pieces_of(grid)) {
  const Index P = point_.theta_size();
  if (u.size() != P || v.size() != P)
    throw InputError("directions of length " + std::to_string(u.size()) + " and " + std::to_string(v.size()) +
                     "; expected " + std::to_string(P));
}

Vector<double> PlaneLoss::weights_at(double a, double b) const {
  Vector<double> weights;
  set_weights(a, b, weights);
  return weights;
}

void PlaneLoss::set_weights(double a, double b, Vector<double>& weights) const {
  weights = point_.weights;
  for (const auto& e : point_.parameters().entries()) {
    if (!e.trainable()) continue;
    const Index size = e.block.size();
    weights.segment(e.offset, size) = point_.weights.segment(e.offset, size) +
                                      a * u_.segment(e.theta_offset, size) +
                                      b * v_.segment(e.theta_offset, size);
  }
}

Index PlaneLoss::points(std::span<const Index> pieces) const {
  Index count = 0;
  for (const Index p : pieces) count += pieces_[p].count;
  return count;
}

namespace {

/// The slots of the network's own parameters that move on the plane.
std::vector<BlockSlot> moving_slots(const ModelPoint<double>& point, const Vector<double>& u,
                                    const Vector<double>& v) {
  std::vector<std::string> moving;
  for (const auto& e : point.parameters().entries()) {
    const auto still = [&](const Vector<double>& d) {
      return d.segment(e.theta_offset, e.block.size()).isZero(0);
    };
    if (e.trainable() && !(still(u) && still(v))) moving.push_back(e.block.name);
  }
  const bool all = moving.empty() || moving == point.parameters().trained();
  const auto model = all ? point.model : point.with_trainable(moving).model;
  const auto slots = model->network_parameters().theta_slots();
  return {slots.begin(), slots.end()};
}

}  // namespace

PlainPlane::PlainPlane(const ModelPoint<double>& at, const Vector<double>& u, const Vector<double>& v,
                       const Grid& grid, std::size_t memory, bool accuracy)
    : PlaneLoss(at, u, v, grid),
      memory_(memory),
      forward_(at, moving_slots(at, u, v), memory / 2),
      accuracy_(accuracy) {
  if (!accuracy) return;
  if (!labelled(*at.data)) throw InputError("the accuracy of data without labels");
  counting_ = counting_rows(at.model->network(), *at.data);
}

Index PlainPlane::points_at_once() const {
  constexpr Index kItems = 16;  // for each thread, so that none waits for long
  const Model<double>& model = *point().model;
  Index numbers = point().weights.size();
  if (model.reparametrisation()) numbers += model.network_parameters().weight_count();
  const auto room = static_cast<Index>(memory_ / 2 / (sizeof(double) * static_cast<std::size_t>(numbers)));
  const Index enough = (kItems * thread_slots() + forward_.chunks() - 1) / forward_.chunks();
  return std::clamp<Index>(room, 1, enough);
}

void PlainPlane::network_weights_at(double a, double b, Vector<double>& weights) const {
  const Model<double>& model = *point().model;
  Vector<double> all = model.reparametrisation() ? Vector<double>() : std::move(weights);
  set_weights(a, b, all);
  if (model.reparametrisation())
    model.network_weights(all, weights);
  else
    weights = std::move(all);
}

Vector<double> PlainPlane::losses(std::span<const Index> pieces, const Progress& progress) {
  struct PlanePoint {
    double a, b;
  };
  std::vector<PlanePoint> points;
  for_points(pieces, [&](Index, double a, double b) { points.push_back({a, b}); });
  const auto count = static_cast<Index>(points.size());
  const Index chunks = forward_.chunks(), at_once = std::min(count, points_at_once());
  const Index rows = point().data->samples * point().model->network().output().tokens;
  weights_.resize(at_once);
  work_.resize(thread_slots());
  std::vector<double> parts(at_once * chunks), right(at_once * chunks);
  Vector<double> losses(count), accuracies(accuracy_ ? count : 0);
  for (Index first = 0; first < count; first += at_once) {
    const Index here = std::min(at_once, count - first);
    parallel_for(here, [&](Index i, Index) {
      network_weights_at(points[first + i].a, points[first + i].b, weights_[i]);
    });
    parallel_for(here * chunks, [&](Index item, Index slot) {
      const Index chunk = item % chunks;
      const Batch<double>& F = forward_.outputs(chunk, weights_[item / chunks], work_[slot]);
      parts[item] = forward_.loss(chunk, F);
      if (!accuracy_) return;
      right[item] = F[0].allFinite() ? static_cast<double>(right_rows<double>(forward_.first_row(chunk), F[0],
                                                                              *point().data, counting_))
                                     : std::nan("");
    });
    for (Index i = 0; i < here; ++i) {
      const auto of_point = [&](const std::vector<double>& all) {
        return tree_sum(std::span(all).subspan(i * chunks, chunks));
      };
      losses[first + i] = of_point(parts);
      if (!accuracy_) continue;
      const double all_right = of_point(right);
      accuracies[first + i] =
          std::isnan(all_right) ? all_right : accuracy(static_cast<Index>(all_right), rows, counting_);
    }
    report(progress, first + here, count);
  }
  set_accuracies(std::move(accuracies));
  return losses;
}

}  // namespace basin
