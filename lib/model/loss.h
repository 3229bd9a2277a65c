/// Losses on the outputs of a model.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "basin/linalg/types.h"

namespace basin {

/// What is known of a loss beside its numbers. Nothing else in the library assumes a formula: what needs a
/// quadratic loss, or one whose infimum is attained, asks.
struct LossFacts {
  std::string name;     ///< "squared", as an architecture says it
  std::string formula;  ///< "1/2 |F - Y|^2"
  std::string average;  ///< what the terms of the rows are averaged over: "sum" for not at all
  bool quadratic;       ///< l = |F - Y|^2 / 2: H_l = 1, G = J^T J, r = F - Y, l = |r|^2 / 2
  bool convex;          ///< in F: then G = J^T H_l J is positive semidefinite
  double infimum;       ///< of l over all outputs
  bool attained;        ///< by some output: then l = infimum is a global minimum
};

/// A loss l(F) that is a sum over the rows of the outputs F, given targets Y of the same shape (rows x
/// D_out): rows can be processed in chunks.
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
  virtual S value(In F, In Y) const = 0;
  /// r = dl/dF.
  virtual void gradient(In F, In Y, Out r) const = 0;
  /// dr = H_l dF, H_l = d^2 l/dF^2.
  virtual void hessian_product(In F, In Y, In dF, Out dr) const = 0;
  /// Z = L^T dF and dF = L Z for a factor L of H_l = L L^T, row by row; for convex losses. Z is of the shape
  /// of F.
  virtual void factor_transposed(In F, In Y, In dF, Out Z) const = 0;
  virtual void factor(In F, In Y, In Z, Out dF) const = 0;
};

/// l(F) = |F - Y|^2 / 2, r = F - Y, H_l the identity: then G = J^T J and K = J J^T.
template <class S>
class SquaredLoss final : public Loss<S> {
 public:
  using In = typename Loss<S>::In;
  using Out = typename Loss<S>::Out;

  const LossFacts& facts() const override {
    static const LossFacts facts = {.name = "squared",
                                    .formula = "1/2 |F - Y|^2",
                                    .average = "sum",
                                    .quadratic = true,
                                    .convex = true,
                                    .infimum = 0,
                                    .attained = true};
    return facts;
  }
  S value(In F, In Y) const override { return (F - Y).squaredNorm() / 2; }
  void gradient(In F, In Y, Out r) const override { r = F - Y; }
  void hessian_product(In /*F*/, In /*Y*/, In dF, Out dr) const override { dr = dF; }
  void factor_transposed(In /*F*/, In /*Y*/, In dF, Out Z) const override { Z = dF; }
  void factor(In /*F*/, In /*Y*/, In Z, Out dF) const override { dF = Z; }
};

/// How a loss of some name is made, in both precisions.
struct LossType {
  std::string name;
  std::function<std::unique_ptr<const Loss<double>>()> make;
  std::function<std::unique_ptr<const Loss<float>>()> make_float;
};

/// One loss more, for losses that are not the library's own. Throws InputError for a name that is taken. Not
/// while other threads build networks.
void add_loss(LossType type);

/// The loss of this name. Throws InputError, listing the names.
template <class S>
std::unique_ptr<const Loss<S>> make_loss(const std::string& name);

/// |r| of a quadratic loss of this value, sqrt(2 l). Throws InputError for another one, where it does not
/// follow from the value.
double residual_norm(const LossFacts& facts, double value);

}  // namespace basin
