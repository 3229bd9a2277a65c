#include "basin/stationary/classify.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "basin/curvature/operators.h"
#include "basin/linalg/dense.h"
#include "basin/linalg/random.h"
#include "basin/model/perturbation.h"
#include "basin/spectrum/counts.h"
#include "basin/spectrum/eigenpairs.h"
#include "basin/stationary/null_directions.h"

namespace basin {
namespace {

// Attention below this, relative to its row or in a row's sum, is a sign of a limit at infinity: what is left
// of gradient and curvature there is at the square root of rounding.
constexpr double kSaturated = 1e-8;
constexpr double kKnown = 1e-6;          // of the targets: a residual known less well says nothing of f = 0
constexpr double kKnownGradient = 1e-8;  // of what it is elsewhere: half of the digits
constexpr double kContraction = 0.25;    // of Newton's steps
constexpr double kNear = 1e-3;           // the same function, but for what the last Newton step changes
constexpr double kRounding = 1e-16;      // below this the limit is reached to rounding
constexpr double kGrowth = 1.0;          // of the logarithm of attention, between descent and now
constexpr double kExplosion = 1.5;       // of |theta|
constexpr double kClear = 1e-8;          // of |H|: smaller negative curvature is no saddle in a valley
constexpr double kCurved = 1e-8;         // of |H|: a symmetry direction t with a larger |H t| is none here
constexpr double kSmallBlock = 1e-4;  // of |theta|: rounding of the gradient turns symmetries of such blocks
constexpr double kFlat = 1e-3;        // share of the loss that the gradient promises over a distance |theta|
// A Newton step that is longer than this, of the length of theta, and that would change the loss by more than
// this, of the size of outputs and residual, is none to a point near by: twice as far as a given point is
// moved, and ten times what a last Newton step may change.
constexpr double kFarStep = 2 * kSamePoint, kFarFall = 20 * kNear;
constexpr double kSoftest = 0.01;  // of |H|: curvature along a gradient may be more than it is here

/// v^T H v at theta.
double curvature_of(ModelObjective& f, const Vector<double>& theta, const Vector<double>& v) {
  if (!f.at(theta)) return kNaN;
  Vectors<double> Hv(v.size(), 1);
  f.hessian(v, Hv);
  return v.dot(Hv.col(0));
}

/// Eigenvalues of D H D on the complement, ascending, D diagonal, and D times their unit eigenvectors: u_i^T
/// H u_j = lambda_i delta_ij, and H^+ = sum u_i u_i^T / lambda_i. Signs are those of H, whatever D is
/// (Sylvester).
struct Diagonal {
  Vector<double> lambda;
  Vectors<double> U;     ///< P x k
  double tolerance = 0;  ///< of lambda
  double allowance = 0;  ///< |D (g - g')|: the rounding of the gradient
};

Diagonal diagonal(const EigenResult& found, double allowance) {
  Diagonal d;
  d.lambda.resize(static_cast<Index>(found.eigenvalues.size()));
  for (Index i = 0; i < d.lambda.size(); ++i)
    d.lambda[i] = found.eigenvalues[static_cast<std::size_t>(i)].value;
  d.U = found.eigenvectors;
  d.allowance = allowance;
  return d;
}

/// Whether lambda = u^T H u is what it is to a factor 2 wherever the point may be: along u, and a Newton step
/// away; and as far as f changes by `visible`.
bool holds(ModelObjective& f, const Iterate& x, double allowance, double visible, const Vector<double>& u,
           double lambda, double norm, const Vector<double>& newton) {
  const double away = std::max((std::abs(u.dot(x.gradient)) + allowance) / std::abs(lambda),
                               std::sqrt(2 * visible / std::abs(lambda))),
               length = u.stableNorm(), curvature = std::abs(lambda) / (length * length);
  const auto same = [&](const Vector<double>& move, double moved) {
    // Where the Hessian would have to change by |H| over a thousandth of |theta| it need not be asked.
    return moved * norm < 1e-3 * curvature * f.length(x.theta) * 1e-3 ||
           std::abs(curvature_of(f, x.theta + move, u) - lambda) <= std::abs(lambda) / 2;
  };
  return same(-away * u, away * length) && same(away * u, away * length) && same(newton, newton.stableNorm());
}

/// Counts the eigenvalues that were found by sign.
void count(PointCurvature& c, ModelObjective& f, const Iterate& x, const Diagonal& d, double invisible,
           double visible) {
  c.negative = c.zero = c.positive = c.undecided = 0;
  double softest = 0;
  for (Index i = 0; i < d.lambda.size(); ++i) {
    const double lambda = d.lambda[i];
    const Vector<double> u = d.U.col(i);
    if (std::abs(lambda) <= d.tolerance) {
      ++c.zero;
      continue;
    }
    if (softest == 0 || std::abs(lambda) < softest) {
      softest = std::abs(lambda);
      c.soft_move = d.allowance / softest * u;
      c.soft_loss = d.allowance * d.allowance / (2 * softest);
    }
    if (std::abs(lambda) <= invisible * u.squaredNorm() ||
        !holds(f, x, d.allowance, visible, u, lambda, c.norm, c.newton))
      ++c.zero, ++c.undecided;
    else
      ++(lambda < 0 ? c.negative : c.positive);
  }
  f.at(x.theta);
}

/// The Newton step and how Newton's method goes on from its far end. solve: g -> y, H^+ g = combine(y), asked
/// for when f is at x; |y| measures steps.
template <class Solve, class Combine>
void look_ahead(PointCurvature& c, ModelObjective& f, const Iterate& x, const Solve& solve,
                const Combine& combine) {
  const Vector<double> y = solve(x.gradient);
  c.newton = -combine(y);
  c.newton_step = c.newton.stableNorm();
  c.decrement = std::sqrt(std::abs(c.newton.dot(x.gradient)));
  c.far_gradient = x.gradient.stableNorm();
  c.contraction = 0;
  if (c.newton_step == 0) return;
  const std::optional<Iterate> there = f.at(x.theta + c.newton);
  f.at(x.theta);
  c.far_gradient = there ? there->gradient.stableNorm() : HUGE_VAL;
  c.contraction = there ? solve(there->gradient).stableNorm() / y.stableNorm() : HUGE_VAL;
}

void look_ahead(PointCurvature& c, ModelObjective& f, const Iterate& x, const Diagonal& d) {
  look_ahead(
      c, f, x,
      [&](const Vector<double>& g) {
        Vector<double> y = d.U.transpose() * g;
        for (Index i = 0; i < y.size(); ++i)
          y[i] = std::abs(d.lambda[i]) > d.tolerance ? y[i] / d.lambda[i] : 0;
        return y;
      },
      [&](const Vector<double>& y) { return Vector<double>(d.U * y); });
}

/// What a point's curvature is asked with.
struct Question {
  ModelObjective& f;
  const Iterate& x;
  const SelfAdjointOperator &H, &perturbed;
  Removal remove;
  const Rounding& rounding;
  const Status& status;
  double invisible;  ///< an eigenvalue that changes f by less than its rounding
  double visible;    ///< a change of f over which curvature must stay what it is
};

/// Powers of two d with which the largest entries of the rows of diag(d) H diag(d) are about one (Ruiz,
/// RAL-TR-2001-034: by the square roots of these entries, again and again), but for rows that are next to
/// nothing.
Vector<double> balance(const Vectors<double>& H) {
  constexpr int kRounds = 8;
  const double whole = H.cwiseAbs().maxCoeff();
  if (!(whole > 0)) return Vector<double>::Ones(H.rows());
  const double least = 1 / std::sqrt(whole), most = 0x1p100 * least;
  Vector<double> d = Vector<double>::Constant(H.rows(), least);
  for (int round = 0; round < kRounds; ++round) {
    const Vectors<double> scaled = d.asDiagonal() * H * d.asDiagonal();
    const Vector<double> largest = scaled.cwiseAbs().rowwise().maxCoeff();
    for (Index i = 0; i < d.size(); ++i)
      if (largest[i] > 0) d[i] = std::min(most, d[i] / std::sqrt(largest[i]));
  }
  for (double& value : d) value = std::exp2(std::round(std::log2(value)));
  return d;
}

/// D H D: where weights are of very different scales the rounding of the largest entries of H hides curvature
/// that its own entries know well.
Diagonal balanced(const Question& q, const PointCurvature& c, const Vectors<double>& H) {
  const Vector<double> d = balance(H);
  const Vectors<double> perturbed = assemble(q.perturbed);
  AssembledMatrix A;
  A.matrix = d.asDiagonal() * H * d.asDiagonal();
  const Vectors<double> error =
      d.asDiagonal() * ((perturbed + perturbed.transpose()) / 2 - H).eval() * d.asDiagonal();
  A.rounding = 4 * error.norm();
  Vectors<double> span(c.size, c.removed);  // D^-1 T
  if (c.removed > 0) {
    Random(0, "balanced").fill_normal(span);
    const Vectors<double> all = span;
    q.remove(span);
    span = orthonormal_columns(d.cwiseInverse().asDiagonal() * (all - span));
  }
  const EigenResult found = full_spectrum(std::move(A), true, removal_of(span), c.removed);
  Diagonal all = diagonal(found, d.cwiseProduct(q.rounding.entries).stableNorm());
  all.U = d.asDiagonal() * all.U;
  all.tolerance = found.eigenvalues[0].error_bound;
  return all;
}

/// All eigenvalues.
void from_spectrum(const Question& q, PointCurvature& c) {
  const AssembledMatrix H = assembled_matrix(q.H, &q.perturbed);
  const EigenResult all = full_spectrum(H, true, q.remove, c.removed);
  c.smallest = all.eigenvalues[0].value;
  c.smallest_bound = all.eigenvalues[0].error_bound;
  c.direction = all.eigenvectors.col(0);
  Diagonal d = diagonal(all, q.rounding.gradient);
  c.tolerance = d.tolerance = std::max(c.smallest_bound, q.invisible);
  look_ahead(c, q.f, q.x, d);
  count(c, q.f, q.x, d, q.invisible, q.visible);
  if (c.zero == 0) return;
  PointCurvature other = c;
  d = balanced(q, c, H.matrix);
  look_ahead(other, q.f, q.x, d);
  count(other, q.f, q.x, d, q.invisible, q.visible);
  if (other.zero >= c.zero) return;
  c = std::move(other);
  c.from = CountsFrom::balanced;
}

/// The smallest eigenvalues, from products; with the inertia of the assembled matrix if wanted.
void from_products(const Question& q, PointCurvature& c, bool inertia) {
  constexpr Index kPairs = 6;
  const Index left = c.size - c.removed;
  EigenOptions options;
  options.perturbed = &q.perturbed;
  options.dense_limit = 0;
  const auto say = [&](const std::string& stage) {
    if (q.status) q.status("P = " + std::to_string(c.size) + ": " + stage);
  };
  say("the smallest eigenvalues");
  const EigenResult found = restricted_eigenpairs(q.H, q.remove, c.removed, kPairs, 0, options).smallest;
  if (inertia) say("the Hessian is assembled and factorised");
  const EigenvalueCounts counts =
      inertia ? dense_counts(assembled_matrix(q.H, &q.perturbed), q.remove, c.removed, q.invisible)
              : krylov_counts(found, c.size, c.removed);
  c.tolerance = std::max(counts.tolerance, q.invisible);
  c.smallest = found.eigenvalues[0].value;
  c.smallest_bound = found.eigenvalues[0].error_bound;
  c.direction = found.eigenvectors.col(0);
  look_ahead(
      c, q.f, q.x,
      [&](const Vector<double>& g) { return Vector<double>(-newton_step(q.f, q.remove, g, say)); },
      [](const Vector<double>& y) { return y; });
  Diagonal d = diagonal(found, q.rounding.gradient);
  d.tolerance = c.tolerance;
  count(c, q.f, q.x, d, q.invisible, q.visible);
  if (inertia) {
    c.from = CountsFrom::inertia;
    // all of them, and of the smallest what a closer look says
    Index negative = counts.negative, zero = counts.zero;
    for (const Eigenvalue& e : found.eigenvalues)
      if (e.value <= c.tolerance) --(e.value < -c.tolerance ? negative : zero);
    c.negative += std::max<Index>(0, negative), c.zero += std::max<Index>(0, zero);
    c.positive = left - c.negative - c.zero;
    return;
  }
  c.from = CountsFrom::smallest;
  c.exact = counts.exact() && (c.positive > 0 || found.requested == left);
  if (c.exact) c.positive = left - c.negative - c.zero;  // a search for missed ones found none
}

PointCurvature curvature_at(const ModelLoss& loss, ModelObjective& f, const Iterate& x,
                            const Rounding& rounding, bool faint, Index dense_limit) {
  const Linearization<double> at(f.point_at(x.theta), {.memory = loss.memory});
  const HessianOperator H(at, loss.theory->product_underflow(at));
  const std::vector<Linearization<double>> perturbed = linearize_perturbed(at.point());
  const PerturbedHessians H_perturbed(H, perturbed);
  PointCurvature c;
  c.size = f.size();
  c.norm = norm_estimate(H, 0);
  c.newton = Vector<double>::Zero(c.size);
  const double reach = f.length(x.theta);
  const Symmetries symmetries = loss.theory->symmetries(at.point());
  // Theory has them as null vectors at stationary points only.
  const bool stationary = x.gradient.stableNorm() <= rounding.gradient;
  const NullDirections null(
      symmetries, H, stationary ? kCurved * c.norm + rounding.gradient / (kSmallBlock * reach) : HUGE_VAL);
  c.removed = null.modes();
  if (c.removed == c.size) {
    c.smallest = c.smallest_bound = kNaN;
    c.direction = Vector<double>::Zero(c.size);
    return c;
  }
  const Question question = {f, x, H, H_perturbed.farthest(), [&](VectorsRef<double> V) { null.remove(V); },
                             rounding, loss.status,
                             // over a distance of the length of theta
                             2 * rounding.loss / (reach * reach), faint ? rounding.loss : 0};
  if (c.size <= std::min(dense_limit, kDecompositionLimit))
    from_spectrum(question, c);
  else
    from_products(question, c, c.size <= dense_limit);
  return c;
}

/// At f = 0, where H = J^T J is positive semidefinite of rank at most m: the rank by the singular values of J
/// if they can be had (m P <= 4e7), which tell zeros from others to twice as many digits as H does.
PointCurvature curvature_at_zero(const NetworkTheory& theory, ModelObjective& f, const Iterate& x) {
  constexpr double kLargest = 4e7;
  PointCurvature c;
  const Linearization<double>& at = f.here();
  const Index m = at.output_size(), P = f.size();
  const Symmetries symmetries = theory.symmetries(at.point());
  c.size = P;
  c.removed = symmetries.modes();
  c.newton = Vector<double>::Zero(P);
  c.direction = Vector<double>::Constant(P, kNaN);
  c.smallest = c.smallest_bound = kNaN;
  const Index left = P - c.removed;
  if (static_cast<double>(m) * static_cast<double>(P) > kLargest) {
    c.norm = norm_estimate(GaussNewtonOperator(at), 0);
    c.from = CountsFrom::outputs;
    c.exact = false;
    c.zero = std::max<Index>(0, left - m);
    return c;
  }
  const Vectors<double> Jt = at.jacobian_transposed();
  const SingularPairs svd = singular_pairs(Jt);
  const double largest = svd.values.size() > 0 ? svd.values[0] : 0;
  double rounding = 0;
  for (const Linearization<double>& other : linearize_perturbed(at.point()))
    rounding = std::max(rounding, (other.jacobian_transposed() - Jt).stableNorm());
  const double tolerance = 4 * rounding + static_cast<double>(std::max(m, P)) * kEps * largest;
  const Vector<double> r = at.residual().reshaped<Eigen::RowMajor>();
  Index rank = 0;
  while (rank < std::min(left, svd.values.size()) && svd.values[rank] > tolerance) ++rank;
  const Vector<double> along = svd.vectors.leftCols(rank).transpose() * r;
  c.newton = -svd.left.leftCols(rank) * along.cwiseQuotient(svd.values.head(rank));
  c.newton_step = c.newton.stableNorm();
  c.decrement = along.stableNorm();
  c.from = CountsFrom::jacobian;
  c.norm = largest * largest;
  c.tolerance = tolerance * tolerance;
  c.positive = rank;
  c.zero = left - rank;
  if (left > 0) {
    const double sigma = c.zero == 0 ? svd.values[rank - 1] : 0;
    c.smallest = sigma * sigma;
    c.smallest_bound = (2 * sigma + tolerance) * tolerance;
  }
  f.at(x.theta);
  return c;
}

/// The largest |grad f| at some random points a natural length away (MATHEMATICS.md, "Units"). f is left at
/// theta.
double gradient_near(ModelObjective& f, const Vector<double>& theta) {
  constexpr std::uint64_t kPoints = 3;
  const double length = f.length(Vector<double>::Zero(theta.size()));
  double most = 0;
  for (std::uint64_t k = 0; k < kPoints; ++k) {
    Vector<double> u(theta.size());
    Random(k, "gradient near").fill_normal(u);
    if (const auto there = f.at(theta + length / u.stableNorm() * u))
      most = std::max(most, there->gradient.stableNorm());
  }
  f.at(theta);
  return most;
}

/// Whether the gradient excludes a stationary point next to this one. Hg = H g, norm: |H|, about.
bool is_far(const StationaryPoint& p, const ModelObjective& f, const Vector<double>& Hg, double norm) {
  const double g = p.at.gradient.stableNorm();
  if (!p.gradient_known || g <= p.rounding.gradient) return false;
  // For a Newton step s |g|^2 = |s.H g| <= |s| |H g|, and g^T |H|^+ g >= |g|^4 / g^T |H| g.
  const double step = g / std::max(Hg.stableNorm() / g, kSoftest * norm);
  return step > kFarStep * f.length(p.at.theta) &&
         step * g > kFarFall * signature_scale(p.function) * p.residual;
}

/// The sign of a limit at infinity, if there is one.
Valley valley_of(const StationaryPoint& p, bool with_history) {
  const auto limit = [&](double now, double before) {
    return now <= kRounding || (now <= kSaturated && (!with_history || std::log(before / now) >= kGrowth));
  };
  if (limit(p.saturation.smallest_sum, p.saturation_before.smallest_sum)) return Valley::vanished;
  if (limit(std::exp(-p.saturation.range), std::exp(-p.saturation_before.range))) return Valley::saturated;
  if (with_history && p.norm > kExplosion * p.norm_before) return Valley::exploding;
  return Valley::none;
}

/// Attention of which little is left somewhere, or the sign of a limit at infinity.
bool is_faint(const StationaryPoint& p) {
  return p.valley != Valley::none || p.saturation.smallest_sum <= kSaturated ||
         std::exp(-p.saturation.range) <= kSaturated;
}

/// f at its infimum to rounding, where outputs attain it, or as it underflows.
bool is_zero(const StationaryPoint& p) {
  return p.attainable && (p.residual <= p.rounding.residual || p.at.loss == 0);
}

/// Whether the point is stationary, or Newton's method goes to one next to it that is, where it sees the same
/// signs: it contracts (Newton and Kantorovich: h <= 1/2, which makes the next step a quarter of this one),
/// or is within rounding, and the model there is the same to three digits.
bool is_stationary(const StationaryPoint& p) {
  const PointCurvature& c = p.curvature;
  if (!p.gradient_known) return false;
  if (p.at.gradient.stableNorm() <= p.rounding.gradient) return true;
  return c.exact && c.zero == 0 && p.step_distance <= kNear &&
         (c.contraction <= kContraction || c.far_gradient <= p.rounding.gradient);
}

/// The loss is flat, as on the way to infinity.
bool is_flat(const StationaryPoint& p) {
  return std::max(p.at.gradient.stableNorm(), p.rounding.gradient) * p.norm <= kFlat * p.at.loss;
}

PointKind kind_of(const StationaryPoint& p) {
  const PointCurvature& c = p.curvature;
  if (is_zero(p)) return p.zero_known ? PointKind::zero_loss : PointKind::degenerate;
  const bool stationary = is_stationary(p), decided = c.exact && c.zero == 0, sign = p.valley != Valley::none;
  // On the way to infinity curvature fades, and what is left of it there means nothing.
  const bool negative = c.negative > 0 && (!sign || (stationary && decided) ||
                                           -c.smallest > std::max(c.smallest_bound, kClear * c.norm));
  if (!stationary) return sign && !negative && is_flat(p) ? PointKind::valley : PointKind::not_stationary;
  if (negative) return PointKind::saddle;
  if (c.negative + c.zero > 0) return sign ? PointKind::valley : PointKind::degenerate;
  return c.exact ? PointKind::strict_minimum : PointKind::degenerate;
}

/// All but the curvature; whether that matters is left to be seen.
StationaryPoint look(const NetworkTheory& theory, ModelObjective& f, const Iterate& x,
                     const std::optional<Before>& before) {
  StationaryPoint p;
  p.at = *f.at(x.theta);
  const ModelPoint<double>& point = f.here().point();
  p.weights = point.weights;
  p.attainable = f.facts().attained;
  p.residual = f.here().residual_norm();
  p.rounding = rounding_at(f.here(), theory);
  p.function = theory.signature(point);
  p.saturation = p.saturation_before = p.function.saturation();
  p.norm = p.norm_before = x.theta.stableNorm();
  if (before) p.saturation_before = before->saturation, p.norm_before = before->norm;
  p.valley = valley_of(p, before.has_value());
  const double targets = point.target_size();
  p.zero_known = targets == 0 || p.rounding.residual <= kKnown * targets;
  p.gradient_scale = gradient_near(f, p.at.theta);
  p.gradient_known = p.rounding.gradient <= kKnownGradient * p.gradient_scale;
  return p;
}

/// That the gradient decides, if it does: the curvature stays unknown.
bool settle(StationaryPoint& p, ModelObjective& f, const Vector<double>& Hg) {
  if (is_zero(p) || (p.valley != Valley::none && is_flat(p))) return false;
  PointCurvature c;
  c.norm = norm_estimate(HessianOperator(f.here()), 0);
  if (!is_far(p, f, Hg, c.norm)) return false;
  const double g = p.at.gradient.stableNorm();
  c.size = f.size();
  c.from = CountsFrom::none;
  c.exact = false;
  c.gradient_slope = c.norm > 0 ? Hg.stableNorm() / (c.norm * g) : 0;
  p.curvature = std::move(c);
  p.loss_error = p.rounding.loss;
  p.kind = PointKind::not_stationary;
  return true;
}

Vector<double> hessian_times_gradient(ModelObjective& f, const Iterate& x) {
  Vectors<double> Hg(f.size(), 1);
  f.hessian(x.gradient, Hg);
  return Hg.col(0);
}

}  // namespace

std::string name_of(PointKind kind) {
  switch (kind) {
    case PointKind::zero_loss:
      return "zero loss";
    case PointKind::strict_minimum:
      return "strict minimum";
    case PointKind::saddle:
      return "saddle";
    case PointKind::degenerate:
      return "degenerate";
    case PointKind::valley:
      return "valley";
    case PointKind::not_stationary:
      return "not stationary";
    default:
      return "not finite";
  }
}

std::string completeness(CountsFrom from, bool exact) {
  switch (from) {
    case CountsFrom::spectrum:
      return "all eigenvalues were computed";
    case CountsFrom::balanced:
      return "all eigenvalues were computed, with every weight in a unit of its own";
    case CountsFrom::inertia:
      return "by the inertia of the assembled matrix";
    case CountsFrom::jacobian:
      return "H = J^T J at f = 0: by the singular values of J";
    case CountsFrom::outputs:
      return "H = J^T J at f = 0: no more positive ones than outputs";
    case CountsFrom::none:
      return "nothing was counted: the gradient decides";
    default:
      return exact ? "from the smallest eigenvalues; a search for missed ones found none"
                   : "at least so many: from the smallest eigenvalues";
  }
}

Before state_of(const ModelLoss& loss, const Vector<double>& theta) {
  return {loss.theory->signature(loss.point.at(theta)).saturation(), theta.stableNorm()};
}

std::optional<StationaryPoint> settled_by_gradient(const ModelLoss& loss, ModelObjective& f, const Iterate& x,
                                                   const std::optional<Before>& before) {
  StationaryPoint p = look(*loss.theory, f, x, before);
  if (!settle(p, f, hessian_times_gradient(f, p.at))) return std::nullopt;
  return p;
}

StationaryPoint classify(const ModelLoss& loss, ModelObjective& f, const Iterate& x,
                         const std::optional<Before>& before, Index dense_limit) {
  const NetworkTheory& theory = *loss.theory;
  StationaryPoint p = look(theory, f, x, before);
  const Vector<double> Hg = hessian_times_gradient(f, p.at);
  if (settle(p, f, Hg)) return p;
  const bool zero = is_zero(p) && p.zero_known && f.facts().quadratic;
  p.curvature = zero ? curvature_at_zero(theory, f, p.at)
                     : curvature_at(loss, f, p.at, p.rounding, is_faint(p), dense_limit);
  if (const double scale = p.curvature.norm * p.at.gradient.stableNorm(); scale > 0)
    p.curvature.gradient_slope = Hg.stableNorm() / scale;
  // The point that is meant lies a Newton step away, and by the rounding of the gradient in the softest
  // direction.
  p.loss_error = p.rounding.loss + p.curvature.decrement * p.curvature.decrement / 2 + p.curvature.soft_loss;
  if (const double soft = p.curvature.soft_move.stableNorm(); soft > 0) {
    const Vector<double> moved = p.at.theta + (1 + p.curvature.newton_step / soft) * p.curvature.soft_move;
    p.function_error = signature_distance(p.function, theory.signature(f.point_at(moved)));
  }
  if (p.curvature.newton_step > 0)
    p.step_distance =
        signature_distance(p.function, theory.signature(f.point_at(p.at.theta + p.curvature.newton)));
  p.kind = kind_of(p);
  return p;
}

}  // namespace basin
