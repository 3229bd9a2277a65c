#include "stationary/objective.h"

#include <cmath>
#include <limits>
#include <sstream>

#include "linalg/errors.h"
#include "linalg/random.h"

namespace basin {
namespace {

const double kLargest = std::ldexp(1, 100);  // eighth powers, with rounding squared, are numbers

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

std::optional<Point> Objective::at(Vector<double> theta) {
  if (std::optional<Point> known = do_known(theta)) return known;
  ++counts_.gradients;
  return do_at(std::move(theta));
}

void Objective::hessian(ConstVectorsRef<double> V, VectorsRef<double> HV) {
  counts_.products += V.cols();
  do_hessian(V, HV);
}

double natural_length(const AttentionSpec& spec, const ParameterLayout& layout, const Vector<double>& weights,
                      const Data<double>& data) {
  const auto rows = static_cast<double>(data.X.rows()), H = static_cast<double>(spec.heads),
             d = static_cast<double>(spec.head_dim);
  const double x = data.X.stableNorm() / std::sqrt(static_cast<double>(data.X.size()));
  if (!(x > 0)) return 1;  // no weight has an effect
  const auto& entries = layout.entries();
  const auto fixed = [&](std::size_t b) {  // 0 where trained
    const auto& e = entries[b];
    return e.trainable() ? 0.0 : weights.segment(e.offset, e.block.size()).stableNorm();
  };
  // |query| |key| for scores of order one; a fixed block of them determines the other's.
  const double score = std::sqrt(d);
  double squares = 0;
  for (const std::size_t b : {0, 1}) {
    if (!entries[b].trainable()) continue;
    const double other = fixed(1 - b) * x / std::sqrt(H);  // a key (query) of a head
    const double size = spec.kernel == KernelKind::gaussian ? spec.sigma()
                        : other > 0                         ? score / other
                                                            : std::sqrt(score);
    squares += H * size * size / (x * x);
  }
  // |W_V| |W_O| for outputs of the size of the targets
  const double both = std::sqrt(H * d) * data.Y.stableNorm() / std::sqrt(rows) / x;
  for (const std::size_t b : {2, 3}) {
    if (!entries[b].trainable()) continue;
    const double other = fixed(5 - b);
    squares += other > 0 ? both * both / (other * other) : both;
  }
  return std::sqrt(squares);
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

ModelObjective::ModelObjective(std::shared_ptr<const Model<double>> model, Vector<double> weights,
                               std::shared_ptr<const Data<double>> data, std::size_t memory, double unit)
    : Objective(model->parameters().theta_size(), unit),
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
  if (!(here_->outputs().stableNorm() <= kLargest)) {
    here_.reset();
    return std::nullopt;
  }
  return Point{std::move(theta), here_->loss(), here_->gradient()};
}

std::optional<Point> ModelObjective::do_known(const Vector<double>& theta) const {
  if (!here_ || theta != model_->parameters().extract(here_->weights())) return std::nullopt;
  return Point{theta, here_->loss(), here_->gradient()};
}

const Linearization<double>& ModelObjective::here() const {
  if (!here_) throw InputError("products were asked for before a point was given");
  return *here_;
}

double ModelObjective::gradient_scale() const {
  constexpr Index kProbes = 8;
  const Index m = here().output_size();
  Vectors<double> U(m, kProbes), JtU(size(), kProbes);
  Random(0, "gradient scale").fill_normal(U);
  for (auto u : U.colwise()) u.normalize();
  here().vjp(U, JtU);
  double square = 0, largest = JtU.cwiseAbs().maxCoeff();
  if (largest > 0) square = (JtU / largest).squaredNorm() / kProbes;
  const double targets = data_->Y.stableNorm();
  return std::sqrt(square) * largest * (targets > 0 ? targets : here().outputs().stableNorm());
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
