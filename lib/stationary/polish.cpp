#include "stationary/polish.h"

#include <algorithm>
#include <cmath>

#include "linalg/dense.h"

namespace basin {
namespace {

constexpr double kEps = std::numeric_limits<double>::epsilon();
constexpr double kFall = 0.99;  // a trial that does not lower |grad f| at least so far is no progress
constexpr double kDecade = 10;  // from one damping to the next
constexpr int kTrials = 30;

/// The steps that a point allows, one for every damping.
class Steps {
 public:
  virtual ~Steps() = default;
  virtual double scale() const = 0;  ///< |H|, about
  virtual Vector<double> step(double mu) const = 0;
};

/// From the eigenvectors of H on the complement.
class DenseSteps final : public Steps {
 public:
  DenseSteps(ModelObjective& f, const Symmetries& symmetries, const Vector<double>& g) {
    const Index P = f.size();
    Vectors<double> H(P, P);
    f.hessian(Vectors<double>::Identity(P, P), H);
    for (int side = 0; side < 2; ++side) {
      symmetries.remove(H);
      H.transposeInPlace();
    }
    eigen_ = symmetric_eigen(std::move(H), true);
    c_ = eigen_.vectors.transpose() * g;
    scale_ = eigen_.values.cwiseAbs().maxCoeff();
  }
  double scale() const override { return scale_; }
  Vector<double> step(double mu) const override {
    const double cut = std::max(mu, static_cast<double>(c_.size()) * kEps * scale_);
    Vector<double> weights(c_.size());
    for (Index i = 0; i < c_.size(); ++i) {
      const double lambda = eigen_.values[i];
      weights[i] = -lambda * c_[i] / (lambda * lambda + cut * cut);
    }
    return eigen_.vectors * weights;
  }

 private:
  SymmetricEigen eigen_;
  Vector<double> c_;
  double scale_ = 0;
};

/// By conjugate gradients on the normal equations (Paige and Saunders 1982, section 7: CGLS).
class KrylovSteps final : public Steps {
 public:
  KrylovSteps(ModelObjective& f, const Symmetries& symmetries, const Vector<double>& g)
      : f_(f), symmetries_(symmetries), g_(g) {
    Vector<double> v = g / g.norm();
    for (int i = 0; i < 8; ++i) {
      v = product(v);
      scale_ = std::max(scale_, v.norm());
      if (!(v.norm() > 0)) break;
      v /= v.norm();
    }
  }
  double scale() const override { return scale_; }
  Vector<double> step(double mu) const override {
    constexpr double kTolerance = 1e-8;
    const double damping = std::max(mu, kEps * scale_) * std::max(mu, kEps * scale_);
    Vector<double> p = Vector<double>::Zero(g_.size()), r = -g_, s = product(r), d = s;
    double norm = s.squaredNorm();
    const double first = norm;
    const Index most = 2 * g_.size();
    for (Index k = 0; k < most && norm > kTolerance * kTolerance * first; ++k) {
      const Vector<double> q = product(d);
      const double alpha = norm / (q.squaredNorm() + damping * d.squaredNorm());
      p += alpha * d, r -= alpha * q;
      s = product(r) - damping * p;
      const double next = s.squaredNorm();
      d = s + (next / norm) * d;
      norm = next;
    }
    return p;
  }

 private:
  Vector<double> product(const Vector<double>& v) const {
    Vectors<double> in = v, out(v.size(), 1);
    symmetries_.remove(in);
    f_.hessian(in, out);
    symmetries_.remove(out);
    return out.col(0);
  }
  ModelObjective& f_;
  const Symmetries& symmetries_;
  Vector<double> g_;
  double scale_ = 0;
};

}  // namespace

Polished polish(const AttentionLoss& loss, ModelObjective& f, Point start, const PolishOptions& options) {
  Polished result;
  result.at = *f.at(start.theta);
  result.first_gradient = result.at.gradient.norm();
  double mu = 0;
  for (;;) {
    Point& x = result.at;
    const Vector<double> weights = f.weights_at(x.theta);
    const double slope = x.gradient.norm();
    result.rounding =
        rounding_at(loss.spec, loss.model, weights, *loss.data, x.loss, f.here().outputs(), x.gradient);
    // a quarter of the allowance: the rounding itself
    if (slope <= result.rounding.gradient / 4 || result.steps >= options.steps) return result;
    const Symmetries symmetries(loss.spec, loss.model->parameters(), weights, *loss.data);
    std::unique_ptr<const Steps> steps;
    if (f.size() <= options.dense_limit)
      steps = std::make_unique<DenseSteps>(f, symmetries, x.gradient);
    else
      steps = std::make_unique<KrylovSteps>(f, symmetries, x.gradient);
    std::optional<Point> next;
    double used = 0;
    for (int trial = 0; trial < kTrials; ++trial) {
      Vector<double> p = steps->step(mu);
      if (const double length = p.norm(); length > options.reach) p *= options.reach / length;
      const Vector<double> theta = x.theta + p;
      if (theta == x.theta) break;
      used = p.norm();
      next = f.at(theta);
      if (next && next->gradient.norm() <= kFall * slope) break;
      next.reset();
      f.at(x.theta);  // products at x again, for steps that are not stored
      mu = mu > 0 ? kDecade * mu : 1e-10 * steps->scale();
    }
    if (!next) {
      f.at(x.theta);
      return result;
    }
    x = std::move(*next);
    result.length += used;
    ++result.steps;
    mu = mu > 1e-10 * steps->scale() ? mu / kDecade / kDecade : 0;
  }
}

Vector<double> newton_step(ModelObjective& f, const Symmetries& symmetries, const Point& x) {
  if (x.gradient.isZero(0)) return Vector<double>::Zero(x.gradient.size());
  return KrylovSteps(f, symmetries, x.gradient).step(0);
}

Point polish_to_zero(ModelObjective& f, Point start, Index steps) {
  constexpr double kLargest = 4e7;
  Point x = *f.at(start.theta);
  double mu = 0;
  for (Index step = 0; step < steps && x.loss > 0; ++step) {
    const Linearization<double>& here = f.here();
    if (static_cast<double>(here.output_size()) * static_cast<double>(f.size()) > kLargest) break;
    const Vector<double> r = (here.outputs() - f.data()->Y).reshaped<Eigen::RowMajor>();
    const SingularPairs svd = singular_pairs(here.jacobian_transposed());  // J^T = left diag(s) right^T
    const Index k = svd.values.size();
    const Vector<double> c = svd.vectors.leftCols(k).transpose() * r;
    const double scale = k > 0 ? svd.values[0] : 0;
    std::optional<Point> next;
    for (int trial = 0; trial < kTrials && scale > 0; ++trial) {
      const double cut = std::max(mu, static_cast<double>(f.size()) * kEps * scale);
      const Vector<double> w =
          -(c.array() * svd.values.array() / (svd.values.array().square() + cut * cut)).matrix();
      next = f.at(x.theta + svd.left * w);
      if (next && next->loss <= x.loss / 2) break;
      next.reset();
      mu = mu > 0 ? kDecade * mu : 1e-10 * scale;
    }
    if (!next) break;
    x = std::move(*next);
    mu = mu > 1e-10 * scale ? mu / kDecade / kDecade : 0;
  }
  return *f.at(x.theta);
}

}  // namespace basin
