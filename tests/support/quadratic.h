/// f = theta^T A theta / 2 - b^T theta: descent on it is known in closed form.
#pragma once

#include "basin/stationary/descent.h"

namespace basin::test {

class Quadratic final : public Objective {
 public:
  Quadratic(Vectors<double> A, Vector<double> b) : Objective(b.size()), A_(std::move(A)), b_(std::move(b)) {}
  static Vectors<double> diagonal(const Vector<double>& eigenvalues) { return eigenvalues.asDiagonal(); }

 private:
  double do_loss(const Vector<double>& theta) override { return theta.dot(A_ * theta) / 2 - b_.dot(theta); }
  std::optional<Iterate> do_at(Vector<double> theta) override {
    if (!theta.allFinite() || !std::isfinite(do_loss(theta))) return std::nullopt;
    Iterate p{theta, do_loss(theta), A_ * theta - b_};
    return p;
  }
  void do_hessian(ConstVectorsRef<double> V, VectorsRef<double> HV) override { HV = A_ * V; }

  Vectors<double> A_;
  Vector<double> b_;
};

/// Rosenbrock's function, 100 (y - x^2)^2 + (1 - x)^2: one minimum, at (1, 1), at the end of a curved valley.
class Rosenbrock final : public Objective {
 public:
  Rosenbrock() : Objective(2) {}

 private:
  double do_loss(const Vector<double>& t) override {
    const double a = t[1] - t[0] * t[0], b = 1 - t[0];
    return 100 * a * a + b * b;
  }
  std::optional<Iterate> do_at(Vector<double> t) override {
    if (!std::isfinite(do_loss(t))) return std::nullopt;
    at_ = t;
    const double a = t[1] - t[0] * t[0];
    Vector<double> g(2);
    g << -400 * t[0] * a - 2 * (1 - t[0]), 200 * a;
    return Iterate{t, do_loss(t), g};
  }
  void do_hessian(ConstVectorsRef<double> V, VectorsRef<double> HV) override {
    Vectors<double> H(2, 2);
    H << 1200 * at_[0] * at_[0] - 400 * at_[1] + 2, -400 * at_[0], -400 * at_[0], 200;
    HV = H * V;
  }
  Vector<double> at_;
};

/// A run at the start, ready to go.
inline Descent start(Objective& f, const Vector<double>& theta) {
  return {*f.at(theta), {}, 0};
}

}  // namespace basin::test
