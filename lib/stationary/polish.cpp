#include "basin/stationary/polish.h"

#include <algorithm>
#include <cmath>
#include <memory>
#include <vector>

#include "basin/linalg/dense.h"

namespace basin {
namespace {

constexpr double kFall = 0.99;  // a trial that does not lower |grad f| at least so far is no progress
constexpr double kNewtonContraction =
    0.25;                       // of the next Newton step to this one; 1/e in a valley to infinity
constexpr double kDecade = 10;  // from one damping to the next
constexpr int kTrials = 30;
constexpr double kShort = 0.05;     // of the length of theta: steps that may raise |grad f|
constexpr Index kPatience = 4;      // steps without a new lowest |grad f|
constexpr double kDropped = 1e-10;  // of |H|: where symmetries are not removed their eigenvalues are smaller

/// The steps that a point allows, one for every damping: for its gradient, or another one.
class Steps {
 public:
  virtual ~Steps() = default;
  virtual double scale() const = 0;  ///< |H|, about
  /// g may be the gradient elsewhere: only its part on the complement counts, since symmetries bend.
  virtual Vector<double> step(double mu, Vector<double> g) const = 0;
};

/// From the eigenvectors of H on the complement of what is removed. Eigenvalues below `cut` |H| are dropped.
class DenseSteps final : public Steps {
 public:
  DenseSteps(Vectors<double> H, const Removal& remove, double cut) : remove_(remove), cut_(cut) {
    for (int side = 0; side < 2; ++side) {
      remove(H);
      H.transposeInPlace();
    }
    eigen_ = symmetric_eigen(std::move(H), true);
    scale_ = eigen_.values.cwiseAbs().maxCoeff();
  }
  double scale() const override { return scale_; }
  Vector<double> step(double mu, Vector<double> g) const override {
    remove_(g);
    const double cut = std::max(mu, cut_ * scale_);
    Vector<double> weights = eigen_.vectors.transpose() * g;
    for (Index i = 0; i < weights.size(); ++i) {
      const double lambda = eigen_.values[i];
      weights[i] *= -lambda / (lambda * lambda + cut * cut);
    }
    return eigen_.vectors * weights;
  }

 private:
  Removal remove_;
  double cut_;
  SymmetricEigen eigen_;
  double scale_ = 0;
};

/// By conjugate gradients on the normal equations (Paige and Saunders 1982, section 7: CGLS). f must have
/// been asked for the point last whenever a step is.
class KrylovSteps final : public Steps {
 public:
  KrylovSteps(ModelObjective& f, const Removal& remove, const Vector<double>& g, double cut, Status status)
      : f_(f), remove_(remove), status_(std::move(status)), cut_(cut) {
    Vector<double> v = g / g.stableNorm();
    for (int i = 0; i < 8; ++i) {
      v = product(v);
      scale_ = std::max(scale_, v.stableNorm());
      if (!(v.stableNorm() > 0)) break;
      v /= v.stableNorm();
    }
  }
  double scale() const override { return scale_; }
  Vector<double> step(double mu, Vector<double> g) const override {
    remove_(g);
    constexpr double kTolerance = 1e-12;  // of H r: what is soft is in its last digits
    const double damping = std::max(mu, cut_ * scale_) * std::max(mu, cut_ * scale_);
    Vector<double> p = Vector<double>::Zero(g.size()), r = -g, s = product(r), d = s;
    double norm = s.squaredNorm();
    const double first = norm;
    const Index most = 2 * g.size();
    for (Index k = 0; k < most && norm > kTolerance * kTolerance * first; ++k) {
      if (status_ && k % kReport == kReport - 1)
        status_("solving for the Newton step, " + std::to_string(2 * k) + " of at most " +
                std::to_string(2 * most) + " Hessian products");
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
    remove_(in);
    f_.hessian(in, out);
    remove_(out);
    return out.col(0);
  }
  static constexpr Index kReport = 64;
  ModelObjective& f_;
  Removal remove_;
  Status status_;
  double cut_, scale_ = 0;
};

Vectors<double> dense_hessian(ModelObjective& f, const Status& status) {
  const Index P = f.size();
  if (status)
    status("assembling and decomposing the Hessian, " + std::to_string(P) + " x " + std::to_string(P));
  Vectors<double> H(P, P);
  f.hessian(Vectors<double>::Identity(P, P), H);
  return H;
}

/// The ways from x: on the complement of the symmetry directions, and where there are any on the whole space.
std::vector<std::unique_ptr<const Steps>> ways_from(const NetworkTheory& theory, ModelObjective& f,
                                                    const Iterate& x, bool dense, const Status& status) {
  const auto symmetries = std::make_shared<const Symmetries>(theory.symmetries(f.point_at(x.theta)));
  const Vectors<double> H = dense ? dense_hessian(f, status) : Vectors<double>();
  std::vector<std::unique_ptr<const Steps>> ways;
  const auto add = [&](const Removal& remove, double cut) {
    if (dense)
      ways.push_back(std::make_unique<DenseSteps>(H, remove, cut));
    else
      ways.push_back(std::make_unique<KrylovSteps>(f, remove, x.gradient, cut, status));
  };
  add([symmetries](VectorsRef<double> V) { symmetries->remove(V); }, static_cast<double>(f.size()) * kEps);
  if (symmetries->modes() > 0) add([](VectorsRef<double>) {}, kDropped);
  return ways;
}

/// Damped Newton steps: where they are, and the best that they came to.
class Polishing {
 public:
  Polishing(const ModelLoss& loss, ModelObjective& f, const Iterate& start, const PolishOptions& options)
      : loss_(loss), f_(f), options_(options), start_(start.theta), x_(*f.at(start.theta)) {
    result_.first_gradient = x_.gradient.stableNorm();
  }
  Polished run();

 private:
  using Ways = std::vector<std::unique_ptr<const Steps>>;
  /// What the ways from x lead to with one damping.
  struct Outcome {
    bool moves = false;
    std::optional<Iterate> lowest;  // where |grad f| falls, the lower one
    std::optional<Iterate> newton;  // where a full step leads
    double newton_length = 0;
  };

  /// Notes the point if |grad f| is smaller than before; whether it is within rounding.
  bool note_lowest();
  void go_back_to_lowest();
  Ways ways_from_here();
  /// The next point, with as little damping as it takes.
  std::optional<Iterate> next(const Ways& ways, double scale);
  Outcome outcome_of(const Ways& ways);
  bool newton_contracts(const Steps& steps, const Outcome& outcome);
  /// Goes there; whether that is still near enough to the start.
  bool go_to(const Iterate& next, double scale);

  const ModelLoss& loss_;
  ModelObjective& f_;
  const PolishOptions& options_;
  const Vector<double> start_;
  Iterate x_;
  Polished result_;
  Index lowest_ = 0;     // the step that led to the smallest |grad f|
  bool patient_ = true;  // steps that raise it may be taken
  double mu_ = 0;
};

Polished Polishing::run() {
  for (;; ++result_.steps) {
    if (note_lowest() || result_.steps >= options_.steps) break;
    if (patient_ && result_.steps - lowest_ >= kPatience) go_back_to_lowest();
    const Ways ways = ways_from_here();
    const double scale = ways[0]->scale();
    const std::optional<Iterate> there = next(ways, scale);
    if (there) {
      if (!go_to(*there, scale)) break;
    } else {
      if (x_.theta == result_.at.theta) break;
      go_back_to_lowest();
    }
  }
  f_.at(result_.at.theta);
  return std::move(result_);
}

bool Polishing::note_lowest() {
  const double slope = x_.gradient.stableNorm();
  if (result_.steps > 0 && !(slope < result_.at.gradient.stableNorm())) return false;
  lowest_ = result_.steps, patient_ = true;
  result_.at = x_;
  result_.rounding = rounding_at(f_.here(), *loss_.theory);
  return slope <= result_.rounding.gradient / 4;  // a quarter of the allowance: the rounding itself
}

void Polishing::go_back_to_lowest() {
  patient_ = false;
  x_ = *f_.at(result_.at.theta);
  mu_ = 0;
}

Polishing::Ways Polishing::ways_from_here() {
  Status status;
  if (loss_.status)
    status = [this](const std::string& stage) {
      loss_.status("polishing, step " + std::to_string(result_.steps + 1) + ": " + stage);
    };
  return ways_from(*loss_.theory, f_, x_, f_.size() <= std::min(options_.dense_limit, kNewtonLimit), status);
}

std::optional<Iterate> Polishing::next(const Ways& ways, double scale) {
  for (int trial = 0; trial < kTrials; ++trial) {
    Outcome outcome = outcome_of(ways);
    if (!outcome.moves) return std::nullopt;
    if (outcome.lowest) return std::move(outcome.lowest);
    if (outcome.newton && patient_ && newton_contracts(*ways[0], outcome)) return std::move(outcome.newton);
    mu_ = mu_ > 0 ? kDecade * mu_ : 1e-10 * scale;
  }
  return std::nullopt;
}

Polishing::Outcome Polishing::outcome_of(const Ways& ways) {
  const double slope = x_.gradient.stableNorm();
  double least = kFall * slope;
  Outcome outcome;
  for (std::size_t way = 0; way < ways.size(); ++way) {
    f_.at(x_.theta);  // products here, for steps that are not stored
    // Damping by |grad f| converges quadratically to manifolds, too (Yamashita and Fukushima 2001).
    Vector<double> p =
        ways[way]->step(way == 0 ? mu_ : std::max(mu_, slope / f_.length(x_.theta)), x_.gradient);
    const double length = p.stableNorm();
    if (length > options_.reach) p *= options_.reach / length;
    if (x_.theta + p == x_.theta) continue;
    outcome.moves = true;
    std::optional<Iterate> there = f_.at(x_.theta + p);
    if (!there) continue;
    if (way == 0 && mu_ == 0 && length <= std::min(options_.reach, kShort * f_.length(x_.theta)))
      outcome.newton = there, outcome.newton_length = length;
    if (there->gradient.stableNorm() <= least)
      least = there->gradient.stableNorm(), outcome.lowest = std::move(there);
  }
  return outcome;
}

bool Polishing::newton_contracts(const Steps& steps, const Outcome& outcome) {
  f_.at(x_.theta);
  return steps.step(0, outcome.newton->gradient).stableNorm() <= kNewtonContraction * outcome.newton_length;
}

bool Polishing::go_to(const Iterate& next, double scale) {
  result_.length += (next.theta - x_.theta).stableNorm();
  x_ = *f_.at(next.theta);
  mu_ = mu_ > 1e-10 * scale ? mu_ / kDecade / kDecade : 0;
  result_.left = (x_.theta - start_).stableNorm() > options_.within;
  return !result_.left;
}

}  // namespace

Polished polish(const ModelLoss& loss, ModelObjective& f, Iterate start, const PolishOptions& options) {
  return Polishing(loss, f, start, options).run();
}

std::function<Vector<double>(const Vector<double>& g)> newton_steps(ModelObjective& f, const Removal& remove,
                                                                    std::optional<double> cut,
                                                                    const Status& status) {
  if (cut) {
    const auto steps = std::make_shared<const DenseSteps>(dense_hessian(f, status), remove, *cut);
    return [steps](const Vector<double>& g) { return steps->step(0, g); };
  }
  return [&f, remove, status](const Vector<double>& g) {
    if (g.isZero(0)) return Vector<double>(Vector<double>::Zero(g.size()));
    return KrylovSteps(f, remove, g, kEps, status).step(0, g);
  };
}

Iterate polish_to_zero(ModelObjective& f, Iterate start, Index steps) {
  constexpr double kLargestJacobian = 4e7;
  Iterate x = *f.at(start.theta);
  if (!f.facts().quadratic) return x;
  double mu = 0;
  for (Index step = 0; step < steps && x.loss > 0; ++step) {
    const Linearization<double>& here = f.here();
    if (static_cast<double>(here.output_size()) * static_cast<double>(f.size()) > kLargestJacobian) break;
    const Vector<double> r = here.residual().reshaped<Eigen::RowMajor>();
    const SingularPairs svd = singular_pairs(here.jacobian_transposed());  // J^T = left diag(s) right^T
    const Index k = svd.values.size();
    const Vector<double> c = svd.vectors.leftCols(k).transpose() * r;
    const double scale = k > 0 ? svd.values[0] : 0;
    std::optional<Iterate> next;
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
