/// Losses on the outputs of a model.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "basin/linalg/types.h"
#include "basin/network/loss_options.h"

namespace basin {

/// What the terms of a loss are averaged over: nothing, the rows that count, samples with such rows, or the
/// numbers in such rows.
enum class Average { sum, rows, samples, elements };

/// By its name, "sum", "rows", "samples" or "elements". Throws InputError for one that is not in `known`.
Average average_from_name(const std::string& name, const std::vector<std::string>& known);

/// What is known of a loss beside its numbers. Nothing else in the library assumes a formula: what needs a
/// quadratic loss, or one whose infimum is attained, asks.
struct LossFacts {
  std::string name;      ///< "squared", as an architecture says it
  std::string formula;   ///< "1/2 |F - Y|^2", the average included
  Average average;       ///< what the terms of the rows are averaged over
  bool labels;           ///< targets are classes, one a row; else numbers Y
  bool quadratic;        ///< l = |F - Y|^2 / 2: H_l = 1, G = J^T J, r = F - Y, l = |r|^2 / 2
  bool convex;           ///< in F: then G = J^T H_l J is positive semidefinite
  double infimum;        ///< of l over all outputs
  bool attained;         ///< by some output: then l = infimum is a global minimum
  bool centred = false;  ///< r of a row adds up to 0 over its outputs, whatever these are
};

/// What the outputs of some rows are compared with, as LossFacts::labels says.
template <class S>
struct Targets {
  Eigen::Ref<const Matrix<S>> Y;              ///< rows x D_out
  std::span<const std::int32_t> labels = {};  ///< of each row, from 0 to D_out - 1
};

/// A loss that is a sum over the rows of the outputs F (rows x D_out): rows can be processed in chunks. What
/// the sum is divided by, where it is averaged, is not part of it (DataLoss).
///
/// To add a loss, write one class and enter it with add_loss (or in loss.cpp): the facts are all that the
/// tools say and assume of it.
template <class S>
class Loss {
 public:
  using In = ConstMatrixRef<S>;
  using Out = MatrixRef<S>;

  virtual ~Loss() = default;
  virtual const LossFacts& facts() const = 0;
  virtual S value(In F, const Targets<S>& t) const = 0;
  /// r = dl/dF.
  virtual void gradient(In F, const Targets<S>& t, Out r) const = 0;
  /// dr = H_l dF, H_l = d^2 l/dF^2.
  virtual void hessian_product(In F, const Targets<S>& t, In dF, Out dr) const = 0;
  /// Z = L^T dF and dF = L Z for a factor L of H_l = L L^T, row by row; for convex losses. Z is of the shape
  /// of F.
  virtual void factor_transposed(In F, const Targets<S>& t, In dF, Out Z) const = 0;
  virtual void factor(In F, const Targets<S>& t, In Z, Out dF) const = 0;
};

/// l(F) = |F - Y|^2 / 2, r = F - Y, H_l the identity: then G = J^T J and K = J J^T; or twice that.
template <class S>
class SquaredLoss final : public Loss<S> {
 public:
  using In = typename Loss<S>::In;
  using Out = typename Loss<S>::Out;

  /// As described: "average" and "half". Throws InputError.
  explicit SquaredLoss(const LossDescription& description = with_defaults(LossDescription{}));

  const LossFacts& facts() const override { return facts_; }
  S value(In F, const Targets<S>& t) const override { return factor_ / 2 * (F - t.Y).squaredNorm(); }
  void gradient(In F, const Targets<S>& t, Out r) const override { r = factor_ * (F - t.Y); }
  void hessian_product(In /*F*/, const Targets<S>& /*t*/, In dF, Out dr) const override { dr = factor_ * dF; }
  void factor_transposed(In /*F*/, const Targets<S>& /*t*/, In dF, Out Z) const override { Z = root_ * dF; }
  void factor(In /*F*/, const Targets<S>& /*t*/, In Z, Out dF) const override { dF = root_ * Z; }

 private:
  LossFacts facts_;
  S factor_, root_;  // 1 or 2, and its root
};

/// How a described loss is made, in both precisions, and its options.
struct LossType {
  template <class S>
  using Make = std::function<std::unique_ptr<const Loss<S>>(const LossDescription&)>;

  std::string name;
  std::vector<LayerOptionType> options;
  Make<double> make;
  Make<float> make_float;
};

/// One loss more, for losses that are not the library's own. Throws InputError for a name that is taken. Not
/// while other threads build networks.
void add_loss(LossType type);

/// The loss of this description. Throws InputError as with_defaults, and for a value of an option that there
/// is not.
template <class S>
std::unique_ptr<const Loss<S>> make_loss(const LossDescription& description);

/// |r| of a quadratic loss of this value, sqrt(2 l). Throws InputError for another one, where it does not
/// follow from the value.
double residual_norm(const LossFacts& facts, double value);

}  // namespace basin
