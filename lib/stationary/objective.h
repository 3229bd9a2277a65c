/// What is descended: a function of theta with its gradient and the products of its Hessian.
#pragma once

#include <cmath>
#include <memory>
#include <optional>

#include "basin/model/evaluator.h"
#include "basin/model/linearization.h"

namespace basin {

/// A point where the function is known.
struct Iterate {
  Vector<double> theta;     ///< P
  double loss = 0;          ///< f
  Vector<double> gradient;  ///< P
};

/// Evaluations spent: the cost of a method, whatever the machine.
struct Counts {
  Index losses = 0, gradients = 0, products = 0;
};

/// A function of P numbers. Works for one thread at a time.
class Objective {
 public:
  /// unit: a length that matters where theta is 0.
  explicit Objective(Index size, double unit = 1) : size_(size), unit_(unit) {}
  virtual ~Objective() = default;
  Objective(const Objective&) = delete;
  Objective& operator=(const Objective&) = delete;

  Index size() const { return size_; }  ///< P
  /// What lengths of steps at theta are relative to: |theta|, and near 0 the unit.
  double length(const Vector<double>& theta) const { return std::hypot(theta.stableNorm(), unit_); }
  const Counts& counts() const { return counts_; }
  /// For a run that goes on: what was spent before.
  void add_counts(const Counts& before);

  /// f alone; not finite where the arithmetic overflows.
  double loss(const Vector<double>& theta);
  /// f and its gradient; nothing where one of them, or what products are made of, is not finite. `hessian` is
  /// then that of this point. Nothing is evaluated, or counted, where f is already at theta.
  std::optional<Iterate> at(Vector<double> theta);
  /// What rounding does to a loss, about: a smaller change of it cannot be seen.
  double loss_rounding(double loss) const { return do_loss_rounding(loss); }
  /// HV = H V at the point that `at` was asked for last.  P x k.
  void hessian(ConstVectorsRef<double> V, VectorsRef<double> HV);

 protected:
  /// A sum of positive terms, added in chunks.
  virtual double do_loss_rounding(double loss) const { return 1e-14 * std::abs(loss); }

 private:
  virtual double do_loss(const Vector<double>& theta) = 0;
  virtual std::optional<Iterate> do_at(Vector<double> theta) = 0;
  virtual void do_hessian(ConstVectorsRef<double> V, VectorsRef<double> HV) = 0;
  /// What do_at would give again, if f is at theta.
  virtual std::optional<Iterate> do_known(const Vector<double>& /*theta*/) const { return std::nullopt; }
  Index size_;
  double unit_;
  Counts counts_;
};

/// Where random vectors come from: the space of the outputs (m numbers each), or of theta (P).
enum class Probes { outputs, parameters };

/// |J|_F / sqrt(m), estimated from 8 random vectors: the root mean square of |J^T u| for unit u, or of |J v|
/// / sqrt(m) for standard normal v.
double jacobian_scale(const Linearization<double>& at, Probes probes);

/// The loss of outputs 0 above the infimum, |Y|^2 / 2 of a quadratic one: what losses are relative to.
double loss_scale(const ModelPoint<double>& point);

/// Loss, gradient and products with the Hessian are of second order in outputs and targets; squares of their
/// products must be numbers. Throws WorkError where the larger of |F| and |Y| (`size`) is not in [2^-100,
/// 2^100], unless it is 0. where: the beginning of the message.
void require_representable(double size, const std::string& where);

/// The loss of a model on data, in its trainable blocks.
class ModelObjective final : public Objective {
 public:
  /// Blocks that are not trained stay as they are at `point`. memory: bytes that may be kept between Hessian
  /// products at a point.
  explicit ModelObjective(ModelPoint<double> point, std::size_t memory = 0, double unit = 1);

  /// All blocks, with theta in the place of the trained ones.
  ModelPoint<double> point_at(const Vector<double>& theta) const { return point_.at(theta); }
  /// The point that `at` was asked for last. Throws InputError before, and where it was not finite.
  const Linearization<double>& here() const;
  /// What gradients are relative to: |J^T u| |Y|, u unit vectors, root mean square, which is |J| |Y| /
  /// sqrt(m) in Frobenius norms, from 8 random u, at the point that `at` was asked for last. Where Y = 0, |r|
  /// stands for |Y|.
  double gradient_scale() const;
  const Data<double>& data() const { return *point_.data; }
  const LossFacts& facts() const { return point_.model->loss().facts(); }

 private:
  double do_loss(const Vector<double>& theta) override;
  std::optional<Iterate> do_at(Vector<double> theta) override;
  void do_hessian(ConstVectorsRef<double> V, VectorsRef<double> HV) override;
  std::optional<Iterate> do_known(const Vector<double>& theta) const override;
  /// And the outputs, which come near the targets of a quadratic loss, are rounded.
  double do_loss_rounding(double loss) const override;

  ModelPoint<double> point_;
  double targets_;  ///< |Y|
  std::size_t memory_;
  LossEvaluator<double> evaluator_;
  std::optional<Linearization<double>> here_;
};

}  // namespace basin
