#include "landscape/slice.h"

#include <vector>

#include "linalg/errors.h"
#include "linalg/parallel.h"
#include "model/evaluator.h"

namespace basin {

template <class S>
Matrix<double> loss_on_plane(const std::shared_ptr<const Model<S>>& model, const Vector<double>& weights,
                             const std::shared_ptr<const Data<S>>& data, const Vector<double>& u,
                             const Vector<double>& v, const Vector<double>& xs, const Vector<double>& ys,
                             const Progress& progress) {
  const ParameterLayout& parameters = model->parameters();
  if (u.size() != parameters.theta_size() || v.size() != parameters.theta_size())
    throw InputError("directions of length " + std::to_string(u.size()) + " and " + std::to_string(v.size()) +
                     "; expected " + std::to_string(parameters.theta_size()));
  const Vector<double> theta = parameters.extract(weights);
  std::vector<LossEvaluator<S>> evaluators(thread_slots(), LossEvaluator<S>(model, data));
  std::vector<Vector<double>> moved(evaluators.size(), weights);
  Matrix<double> losses(ys.size(), xs.size());
  parallel_for(
      losses.size(),
      [&](Index point, Index slot) {
        const double a = xs[point % xs.size()], b = ys[point / xs.size()];
        parameters.insert<double>(theta + a * u + b * v, moved[slot]);
        losses.data()[point] = static_cast<double>(evaluators[slot](moved[slot].template cast<S>()));
      },
      progress);
  return losses;
}

template Matrix<double> loss_on_plane(const std::shared_ptr<const Model<double>>&, const Vector<double>&,
                                      const std::shared_ptr<const Data<double>>&, const Vector<double>&,
                                      const Vector<double>&, const Vector<double>&, const Vector<double>&,
                                      const Progress&);
template Matrix<double> loss_on_plane(const std::shared_ptr<const Model<float>>&, const Vector<double>&,
                                      const std::shared_ptr<const Data<float>>&, const Vector<double>&,
                                      const Vector<double>&, const Vector<double>&, const Vector<double>&,
                                      const Progress&);

}  // namespace basin
