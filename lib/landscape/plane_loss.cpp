#include "basin/landscape/plane_loss.h"

#include "basin/linalg/errors.h"

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
      point_losses_(at, ForwardPass<double>(at, moving_slots(at, u, v), memory / 2), memory / 2, accuracy) {}

Vector<double> PlainPlane::losses(std::span<const Index> pieces, const Progress& progress) {
  struct PlanePoint {
    double a, b;
  };
  std::vector<PlanePoint> places;
  for_points(pieces, [&](Index, double a, double b) { places.push_back({a, b}); });
  PointLosses::Values values = point_losses_.at(
      static_cast<Index>(places.size()),
      [&](Index i, Vector<double>& weights) { set_weights(places[i].a, places[i].b, weights); }, progress);
  set_accuracies(std::move(values.accuracies));
  return values.losses;
}

}  // namespace basin
