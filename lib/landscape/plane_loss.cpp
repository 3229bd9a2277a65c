#include "basin/landscape/plane_loss.h"

#include "basin/linalg/errors.h"
#include "basin/linalg/parallel.h"
#include "basin/model/evaluator.h"

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
  return point_.at(point_.theta() + a * u_ + b * v_).weights;
}

Index PlaneLoss::points(std::span<const Index> pieces) const {
  Index count = 0;
  for (const Index p : pieces) count += pieces_[p].count;
  return count;
}

Vector<double> PlainPlane::losses(std::span<const Index> pieces, const Progress& progress) {
  struct PlanePoint {
    double a, b;
  };
  std::vector<PlanePoint> points;
  for_points(pieces, [&](Index, double a, double b) { points.push_back({a, b}); });
  std::vector<LossEvaluator<double>> evaluators(thread_slots(), LossEvaluator<double>(point()));
  Vector<double> losses(static_cast<Index>(points.size()));
  parallel_for(
      losses.size(),
      [&](Index i, Index slot) { losses[i] = evaluators[slot](weights_at(points[i].a, points[i].b)); },
      progress);
  return losses;
}

}  // namespace basin
