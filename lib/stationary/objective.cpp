#include "basin/stationary/objective.h"

#include <cmath>
#include <limits>
#include <sstream>

#include "basin/linalg/errors.h"
#include "basin/linalg/random.h"

namespace basin {
namespace {

constexpr Index kManyOutputs = Index{1} << 24U;  // vectors of that length are too much memory
const double kLargest = std::ldexp(1, 100);      // eighth powers, with rounding squared, are numbers

}  // namespace

void Objective::add_counts(const Counts& before) {
  counts_.losses += before.losses;
  counts_.gradients += before.gradients;
  counts_.products += before.products;
}

double Objective::loss(const Vector<double>& theta) {
  ++counts_.losses;
  return do_loss(theta);
}

std::optional<Iterate> Objective::at(Vector<double> theta) {
  if (std::optional<Iterate> known = do_known(theta)) return known;
  ++counts_.gradients;
  return do_at(std::move(theta));
}

void Objective::hessian(ConstVectorsRef<double> V, VectorsRef<double> HV) {
  counts_.products += V.cols();
  do_hessian(V, HV);
}

double jacobian_scale(const Linearization<double>& at, Probes probes) {
  constexpr Index kProbes = 8;
  const Index m = at.output_size(), P = at.theta_size();
  Random random(0, "gradient scale");
  if (probes == Probes::parameters) {
    Vectors<double> V(P, kProbes), JtJV(P, kProbes);
    random.fill_normal(V);
    at.gram(V, JtJV);
    return std::sqrt(V.cwiseProduct(JtJV).sum() / (kProbes * static_cast<double>(m)));
  }
  Vectors<double> U(m, kProbes), JtU(P, kProbes);
  random.fill_normal(U);
  for (auto u : U.colwise()) u.normalize();
  at.vjp(U, JtU);
  double square = 0, largest = JtU.cwiseAbs().maxCoeff();
  if (largest > 0) square = (JtU / largest).squaredNorm() / kProbes;
  return std::sqrt(square) * largest;
}

double loss_scale(const ModelPoint<double>& point) {
  return point.scale_at_zero().loss - point.model->loss().facts().infimum;
}

void require_representable(double size, const std::string& where) {
  if (size == 0 || (size >= 1 / kLargest && size <= kLargest)) return;
  std::ostringstream text;
  text.precision(3);
  text << where << "outputs or targets of size " << size << "; the powers of it that are needed "
       << (size < 1 ? "underflow" : "overflow")
       << ": expected 1e-30 to 1e30; multiply targets and W_O by the same number";
  throw WorkError(text.str());
}

ModelObjective::ModelObjective(ModelPoint<double> point, std::size_t memory, double unit)
    : Objective(point.theta_size(), unit),
      point_(std::move(point)),
      targets_(point_.data->Y.stableNorm()),
      memory_(memory),
      evaluator_(point_) {}

double ModelObjective::do_loss(const Vector<double>& theta) {
  return evaluator_(point_at(theta).weights);
}

std::optional<Iterate> ModelObjective::do_at(Vector<double> theta) {
  if (!theta.allFinite()) return std::nullopt;
  try {
    here_.emplace(point_at(theta), memory_ > 0 ? LinearizationOptions{.memory = memory_}
                                               : LinearizationOptions{.keep = false});
  } catch (const WorkError&) {  // an output or the gradient is not finite
    here_.reset();
    return std::nullopt;
  }
  if (!(here_->outputs_norm() <= kLargest)) {
    here_.reset();
    return std::nullopt;
  }
  return Iterate{std::move(theta), here_->loss(), here_->gradient()};
}

std::optional<Iterate> ModelObjective::do_known(const Vector<double>& theta) const {
  if (!here_ || theta != here_->point().theta()) return std::nullopt;
  return Iterate{theta, here_->loss(), here_->gradient()};
}

const Linearization<double>& ModelObjective::here() const {
  if (!here_) throw InputError("products were asked for before a point was given");
  return *here_;
}

double ModelObjective::gradient_scale() const {
  const double targets = here().point().target_size(), length = targets > 0 ? targets : here().outputs_norm();
  return jacobian_scale(here(), here().output_size() > kManyOutputs ? Probes::parameters : Probes::outputs) *
         length;
}

void ModelObjective::do_hessian(ConstVectorsRef<double> V, VectorsRef<double> HV) {
  here().hessian(V, HV);
}

double ModelObjective::do_loss_rounding(double loss) const {
  if (!facts().quadratic) return Objective::do_loss_rounding(loss);
  const double residual = residual_norm(facts(), loss);
  return Objective::do_loss_rounding(loss) +
         16 * std::numeric_limits<double>::epsilon() * targets_ * residual;
}

}  // namespace basin
