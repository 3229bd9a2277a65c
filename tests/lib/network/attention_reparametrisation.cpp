#include "basin/network/attention_reparametrisation.h"

#include <catch2/catch.hpp>

#include "support/cases.h"

using namespace basin;
using namespace basin::test;

namespace {

/// The four rules of a reparametrisation as functions of vectors, for some trained blocks.
struct Rules {
  std::shared_ptr<const Model<double>> model;
  const ParameterLayout& w = model->parameters();
  const ParameterLayout& u = model->network_parameters();

  BlockView<const double> weights(const Vector<double>& v) const {
    return {v.data(), 1, v.size(), w.weight_slots()};
  }
  static BlockView<const double> in(const Vector<double>& v, const ParameterLayout& layout) {
    return {v.data(), 1, v.size(), layout.theta_slots()};
  }
  static BlockView<double> out(Vector<double>& v, const ParameterLayout& layout) {
    return {v.data(), 1, v.size(), layout.theta_slots()};
  }

  Vector<double> value(const Vector<double>& at) const {
    Vector<double> made;
    return u.extract(model->network_weights(at, made));
  }
  Vector<double> tangent(const Vector<double>& at, const Vector<double>& dw) const {
    Vector<double> du(u.theta_size());
    model->reparametrisation()->tangent(weights(at), in(dw, w), out(du, u));
    return du;
  }
  Vector<double> adjoint(const Vector<double>& at, const Vector<double>& ubar) const {
    Vector<double> wbar = Vector<double>::Zero(w.theta_size());
    model->reparametrisation()->adjoint(weights(at), in(ubar, u), out(wbar, w));
    return wbar;
  }
  Vector<double> tangent_of_adjoint(const Vector<double>& at, const Vector<double>& ubar,
                                    const Vector<double>& dw, const Vector<double>& dubar) const {
    Vector<double> dwbar = Vector<double>::Zero(w.theta_size());
    model->reparametrisation()->tangent_of_adjoint(weights(at), in(ubar, u), in(dw, w), in(dubar, u),
                                                   out(dwbar, w));
    return dwbar;
  }
};

}  // namespace

TEST_CASE("reparametrisations obey the four rules for every set of blocks") {
  const Index D_out = GENERATE(2, 60);  // W_V and W_O multiplied first, or not
  for (const auto& trainable : all_trainable_sets()) {
    CAPTURE(D_out, trainable);
    Case c = {"reparametrisation", 2, 3, 4, 2, 3, D_out};
    c.trainable = trainable;
    const ModelPoint<double> instance = make_instance(c);
    const Rules rules{instance.model};
    const Vector<double> dw = random_vectors(rules.w.theta_size(), 1, 1);
    const Vector<double> ubar = random_vectors(rules.u.theta_size(), 1, 2),
                         dubar = random_vectors(rules.u.theta_size(), 1, 3);
    const auto moved = [&](double t) { return instance.at(instance.theta() + t * dw).weights; };

    // The reparametrisation is at most quadratic: central differences have no truncation error.
    constexpr double h = 0.5;
    const Vector<double> du = rules.tangent(instance.weights, dw);
    const Vector<double> du_expected = (rules.value(moved(h)) - rules.value(moved(-h))) / (2 * h);
    CHECK((du - du_expected).norm() <= 1e-13 * du.norm());
    CHECK(std::abs(ubar.dot(du) - rules.adjoint(instance.weights, ubar).dot(dw)) <=
          1e-13 * ubar.norm() * du.norm());
    const auto adjoint = [&](double t) { return rules.adjoint(moved(t), ubar + t * dubar); };
    const Vector<double> found = rules.tangent_of_adjoint(instance.weights, ubar, dw, dubar);
    CHECK((found - (adjoint(h) - adjoint(-h)) / (2 * h)).norm() <= 1e-13 * (1 + found.norm()));
  }
}
