#include "stationary/objective.h"

#include <cmath>
#include <limits>

#include "linalg/errors.h"

namespace basin {

void Objective::add_counts(const Counts& before) {
  counts_.losses += before.losses;
  counts_.gradients += before.gradients;
  counts_.products += before.products;
}

double Objective::loss(const Vector<double>& theta) {
  ++counts_.losses;
  return do_loss(theta);
}

std::optional<Point> Objective::at(Vector<double> theta) {
  ++counts_.gradients;
  return do_at(std::move(theta));
}

void Objective::hessian(ConstVectorsRef<double> V, VectorsRef<double> HV) {
  counts_.products += V.cols();
  do_hessian(V, HV);
}

ModelObjective::ModelObjective(std::shared_ptr<const Model<double>> model, Vector<double> weights,
                               std::shared_ptr<const Data<double>> data, std::size_t memory)
    : Objective(model->parameters().theta_size()),
      model_(std::move(model)),
      weights_(std::move(weights)),
      data_(std::move(data)),
      targets_(data_->Y.stableNorm()),
      memory_(memory),
      evaluator_(model_, data_) {}

Vector<double> ModelObjective::weights_at(const Vector<double>& theta) const {
  Vector<double> weights = weights_;
  model_->parameters().insert(theta, weights);
  return weights;
}

double ModelObjective::do_loss(const Vector<double>& theta) {
  return evaluator_(weights_at(theta));
}

std::optional<Point> ModelObjective::do_at(Vector<double> theta) {
  if (!theta.allFinite()) return std::nullopt;
  try {
    here_.emplace(model_, weights_at(theta), data_, LinearizationOptions{.memory = memory_});
  } catch (const WorkError&) {  // an output or the gradient is not finite
    here_.reset();
    return std::nullopt;
  }
  return Point{std::move(theta), here_->loss(), here_->gradient()};
}

const Linearization<double>& ModelObjective::here() const {
  if (!here_) throw InputError("products were asked for before a point was given");
  return *here_;
}

void ModelObjective::do_hessian(ConstVectorsRef<double> V, VectorsRef<double> HV) {
  here().hessian(V, HV);
}

double ModelObjective::do_loss_rounding(double loss) const {
  const double residual = std::sqrt(2 * loss);
  return Objective::do_loss_rounding(loss) +
         16 * std::numeric_limits<double>::epsilon() * targets_ * residual;
}

}  // namespace basin
