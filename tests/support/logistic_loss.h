/// A loss that the library does not have, entered by name: convex, not quadratic.
#pragma once

#include "support/cases.h"

namespace basin::test {

/// sum log(1 + exp(-y f)): convex, not quadratic, its infimum 0 is not attained.
template <class S>
class Logistic final : public Loss<S> {
 public:
  using In = typename Loss<S>::In;
  using Out = typename Loss<S>::Out;

  const LossFacts& facts() const override {
    static const LossFacts facts = {.name = "logistic",
                                    .formula = "sum log(1 + exp(-Y F))",
                                    .average = Average::sum,
                                    .labels = false,
                                    .quadratic = false,
                                    .convex = true,
                                    .infimum = 0,
                                    .attained = false};
    return facts;
  }
  S value(In F, const Targets<S>& t) const override {
    return (1 + (-(t.Y.array() * F.array())).exp()).log().sum();
  }
  void gradient(In F, const Targets<S>& t, Out r) const override {
    r = -t.Y.array() / (1 + (t.Y.array() * F.array()).exp());
  }
  void hessian_product(In F, const Targets<S>& t, In dF, Out dr) const override {
    dr = curvature(F, t.Y) * dF.array();
  }
  void factor_transposed(In F, const Targets<S>& t, In dF, Out Z) const override {
    Z = curvature(F, t.Y).sqrt() * dF.array();
  }
  void factor(In F, const Targets<S>& t, In Z, Out dF) const override {
    dF = curvature(F, t.Y).sqrt() * Z.array();
  }

 private:
  static Eigen::Array<S, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor> curvature(In F, In Y) {
    const Eigen::Array<S, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor> z = Y.array() * F.array();
    return Y.array().square() / ((1 + z.exp()) * (1 + (-z).exp()));
  }
};

/// Enters it, once.
inline void add_logistic_loss() {
  static const bool entered = [] {
    add_loss({"logistic",
              {},
              [](const LossDescription&) { return std::make_unique<Logistic<double>>(); },
              [](const LossDescription&) { return std::make_unique<Logistic<float>>(); }});
    return true;
  }();
  static_cast<void>(entered);
}

/// The same point under the logistic loss, of an architecture that says so.
inline ModelPoint<double> logistic(ModelPoint<double> x) {
  add_logistic_loss();
  Architecture architecture = x.model->architecture();
  architecture.loss = {"logistic"};
  x.model = build<double>(architecture, x.parameters().trained());
  return x;
}

}  // namespace basin::test
