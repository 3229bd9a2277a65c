#include "basin/stationary/point_curvature.h"

#include <algorithm>
#include <cmath>
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

constexpr double kCurved = 1e-8;      // of |H|: a symmetry direction t with a larger |H t| is none here
constexpr double kSmallBlock = 1e-4;  // of |theta|: rounding of the gradient turns symmetries of such blocks

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
void look_ahead(PointCurvature& c, ModelObjective& f, const Iterate& x, const Vector<double>& way,
                const Solve& solve, const Combine& combine) {
  const Vector<double> y = solve(x.gradient);
  c.newton = -combine(y);
  if (way.size() > 0) {
    Vectors<double> Hw(way.size(), 1);
    f.hessian(way, Hw);
    c.flat_way = way - combine(solve(Hw.col(0)));
  }
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

void look_ahead(PointCurvature& c, ModelObjective& f, const Iterate& x, const Vector<double>& way,
                const Diagonal& d) {
  look_ahead(
      c, f, x, way,
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
  double invisible;           ///< an eigenvalue that changes f by less than its rounding
  double visible;             ///< a change of f over which curvature must stay what it is
  const Vector<double>& way;  ///< see curvature_at
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
  look_ahead(c, q.f, q.x, q.way, d);
  count(c, q.f, q.x, d, q.invisible, q.visible);
  if (c.zero == 0) return;
  PointCurvature other = c;
  d = balanced(q, c, H.matrix);
  look_ahead(other, q.f, q.x, q.way, d);
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
    if (q.status) q.status("judging the point, " + std::to_string(c.size) + " parameters: " + stage);
  };
  say("looking for the smallest eigenvalues of the Hessian");
  const EigenResult found = restricted_eigenpairs(q.H, q.remove, c.removed, kPairs, 0, options).smallest;
  if (inertia) say("assembling and factorising the Hessian");
  const EigenvalueCounts counts =
      inertia ? dense_counts(assembled_matrix(q.H, &q.perturbed), q.remove, c.removed, q.invisible)
              : krylov_counts(found, c.size, c.removed);
  c.tolerance = std::max(counts.tolerance, q.invisible);
  c.smallest = found.eigenvalues[0].value;
  c.smallest_bound = found.eigenvalues[0].error_bound;
  c.direction = found.eigenvectors.col(0);
  q.f.at(q.x.theta);
  const bool decomposed = inertia && c.size <= kNewtonLimit;
  const auto step = newton_steps(
      q.f, q.remove, decomposed ? std::optional(std::max(kEps, c.tolerance / c.norm)) : std::nullopt, say);
  look_ahead(
      c, q.f, q.x, q.way, [&](const Vector<double>& g) { return Vector<double>(-step(g)); },
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

}  // namespace

PointCurvature curvature_at(const ModelLoss& loss, ModelObjective& f, const Iterate& x,
                            const Rounding& rounding, bool faint, Index dense_limit,
                            const Vector<double>& way) {
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
                             2 * rounding.loss / (reach * reach), faint ? rounding.loss : 0, way};
  if (c.size <= std::min(dense_limit, kDecompositionLimit))
    from_spectrum(question, c);
  else
    from_products(question, c, c.size <= dense_limit);
  if (c.flat_way.size() > 0) symmetries.remove(c.flat_way);
  return c;
}

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

}  // namespace basin
