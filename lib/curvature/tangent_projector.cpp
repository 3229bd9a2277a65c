#include "basin/curvature/tangent_projector.h"

#include <algorithm>
#include <cmath>

#include "basin/linalg/dense.h"
#include "basin/linalg/errors.h"
#include "basin/linalg/random.h"

namespace basin {
namespace {

constexpr double kRounding = 1e-14;    // of conjugate gradients, relative to what is projected
constexpr double kTooMuch = 1e-6;      // the same, of what is given up
constexpr Index kMostSteps = 5000;     // of conjugate gradients
constexpr Index kPatience = 200;       // steps without half of the residual
constexpr double kNegligible = 1e-20;  // squares of lengths that are 0
constexpr Index kMostCombinations = 100;
constexpr int kRefinements = 4;
constexpr double kMovesNothing = 1e-9, kNothingLeft = 1e-9;  // each part of a random c is about 1

/// A basis of the same span in which a symmetric matrix is diagonal.
Dense turned(const Dense& basis, const Dense& gram) {
  if (basis.cols() == 0) return basis;
  return basis * symmetric_eigen(basis.transpose() * gram * basis, true).vectors;
}

/// |t|^2 for each coefficient alone, were the targets of all terms different.
std::vector<double> squared_lengths(const TangentMatrices& X, const std::vector<SeenTerm>& terms) {
  using Kind = TangentMatrices::Kind;
  std::vector<double> squares(static_cast<std::size_t>(X.size()), 0.0);
  for (const SeenTerm& s : terms) {
    if (X.kind == Kind::span) {
      for (std::size_t k = 0; k < squares.size(); ++k) squares[k] += (s.L * X.basis[k] * s.R).squaredNorm();
      continue;
    }
    const bool diagonal = X.kind == Kind::diagonal;
    const Dense& right = X.kind == Kind::all ? X.right : X.left;
    const Dense L = diagonal ? s.L : Dense(s.L * X.left), R = diagonal ? s.R : Dense(right.transpose() * s.R);
    const Vector<double> l = L.colwise().squaredNorm(), r = R.rowwise().squaredNorm();
    for (std::size_t k = 0; k < squares.size(); ++k) {
      const Index at = X.which[k], row = diagonal ? at : at / right.cols(),
                  col = diagonal ? at : at % right.cols();
      squares[k] += X.kind == Kind::skew ? (l[row] * r[col] + l[col] * r[row]) / 2 : l[row] * r[col];
    }
  }
  return squares;
}

}  // namespace

TangentFamily::TangentFamily(const ModelPoint<double>& point, std::vector<SeenMap> maps,
                             std::vector<TangentGenerator> generators)
    : model_(point.model),
      weights_(point.weights),
      maps_(std::move(maps)),
      generators_(std::move(generators)) {
  precondition();
  gram_ = TangentGram(maps_, generators_, weights_);
  find_combinations();
}

/// Coordinates of each X in which the sums of L^T L and of R R^T are diagonal: T^T T of a gauge then is, too.
/// Coordinates that move nothing are left out.
void TangentFamily::precondition() {
  using Kind = TangentMatrices::Kind;
  std::vector<double> diagonal;
  std::vector<TangentGenerator> kept;
  for (TangentGenerator& g : generators_) {
    TangentMatrices& X = g.X;
    const auto p = static_cast<double>(X.rows), q = static_cast<double>(X.cols);
    double whole = 0;  // what it could move if all were seen
    for (const TangentTerm& t : g.terms) {
      const Dense L = product_of(t.left, weights_), R = product_of(t.right, weights_);
      whole += (t.left.empty() ? static_cast<double>(t.target.rows) : L.squaredNorm()) *
               (t.right.empty() ? static_cast<double>(t.target.cols) : R.squaredNorm());
    }
    std::vector<SeenTerm> terms;
    for (const SeenMap& map : maps_)
      for (SeenTerm& t : seen_terms(g, map, weights_)) {
        if (t.x_transposed) t = {t.R.transpose(), t.L.transpose(), false};
        terms.push_back(std::move(t));
      }
    Dense left = zero(X.rows, X.rows), right = zero(X.cols, X.cols);
    if (X.kind == Kind::all || X.kind == Kind::skew)
      for (const SeenTerm& t : terms) {
        left += t.L.transpose() * t.L * (t.R.squaredNorm() / q);
        right += t.R * t.R.transpose() * (t.L.squaredNorm() / p);
      }
    if (X.kind == Kind::all) X.left = turned(X.left, left), X.right = turned(X.right, right);
    if (X.kind == Kind::skew) X.left = turned(X.left, left + right);
    const std::vector<double> squares = squared_lengths(X, terms);
    std::vector<Index> which;
    std::vector<Dense> basis;
    for (std::size_t k = 0; k < squares.size(); ++k) {
      if (squares[k] <= kNegligible * whole) continue;
      diagonal.push_back(squares[k]);
      if (X.kind == Kind::span)
        basis.push_back(X.basis[k]);
      else
        which.push_back(X.which[k]);
    }
    X.which = which, X.basis = basis;
    if (X.size() > 0) kept.push_back(std::move(g));
  }
  generators_ = std::move(kept);
  Index first = 0;
  for (const TangentGenerator& g : generators_) first_.push_back(first), first += g.size();
  diagonal_ = Eigen::Map<const Vector<double>>(diagonal.data(), static_cast<Index>(diagonal.size()));
}

void TangentFamily::remove_unseen(Vector<double>& v) const {
  for (const SeenMap& map : maps_)
    if (map.dimension() > 0) map.add(-map.unseen_part(map.read(v)), v);
}

Vector<double> TangentFamily::apply(const Vector<double>& c) const {
  Vector<double> v = Vector<double>::Zero(parameters().weight_count());
  for (std::size_t k = 0; k < generators_.size(); ++k) generators_[k].add(weights_, c.data() + first_[k], v);
  remove_unseen(v);
  return v;
}

Vector<double> TangentFamily::transposed(const Vector<double>& v) const {
  Vector<double> c(size());
  for (std::size_t k = 0; k < generators_.size(); ++k)
    generators_[k].transposed(weights_, v, c.data() + first_[k]);
  return c;
}

Vector<double> TangentFamily::solve(const Vector<double>& right, double of) const {
  Vector<double> c = Vector<double>::Zero(size()), r = right;
  const auto length = [&](const Vector<double>& x) {
    return std::sqrt((x.array().square() / diagonal_.array()).sum());
  };
  const double wanted = kRounding * of;
  Vector<double> z = r.cwiseQuotient(diagonal_), p = z, best = c;
  double rz = r.dot(z), least = length(r);
  Index since = 0;  // the least: rounding ends convergence, or combinations that move nothing
  for (Index step = 0; rz > 0 && least > wanted && since < kPatience; ++step, ++since) {
    if (step == kMostSteps) break;
    const Vector<double> Ap = gram_(p);
    const double a = rz / p.dot(Ap);
    if (!std::isfinite(a)) break;
    c += a * p;
    r -= a * Ap;
    if (const double now = length(r); now < least) {
      if (now < 0.5 * least) since = 0;
      least = now;
      best = c;
    }
    z = r.cwiseQuotient(diagonal_);
    const double next = r.dot(z);
    p = z + (next / rz) * p;
    rz = next;
  }
  if (least > kTooMuch * std::max(length(right), of))
    throw WorkError("symmetries: conjugate gradients did not converge");
  return best;
}

/// c - (T^T T)^+ T^T T c of a random c is a combination that moves nothing.
void TangentFamily::find_combinations() {
  if (size() == 0) return;
  Random random(0, "symmetries");
  Vectors<double> found(size(), 0);  // orthonormal in the inner product of the preconditioner
  const auto length = [&](const Vector<double>& c) { return std::sqrt(c.dot(diagonal_.cwiseProduct(c))); };
  const auto remove_found = [&](Vector<double>& c) {
    for (int pass = 0; pass < 2; ++pass)
      for (Index k = 0; k < found.cols(); ++k)
        c -= found.col(k) * found.col(k).dot(diagonal_.cwiseProduct(c));
  };
  for (; combinations_ < kMostCombinations; ++combinations_) {
    Vector<double> c(size());
    random.fill_normal(c);
    c = c.cwiseQuotient(diagonal_.cwiseSqrt());
    remove_found(c);
    double moves = 1;  // what a unit of it moves
    for (int pass = 0; pass < kRefinements && moves > kMovesNothing; ++pass) {
      const Vector<double> moved = apply(c);
      c -= solve(transposed(moved), std::max(moved.norm(), length(c)));
      remove_found(c);
      const double left = length(c);
      if (left <= kNothingLeft) return;
      moves = apply(c).norm() / left;
    }
    if (moves > kMovesNothing) return;
    found.conservativeResize(Eigen::NoChange, found.cols() + 1);
    found.rightCols(1) = c / length(c);
  }
  throw WorkError("symmetries: more than " + std::to_string(kMostCombinations) + " combinations are zero");
}

Index TangentFamily::dimension() const {
  Index sum = size() - combinations_;
  for (const SeenMap& map : maps_) sum += map.dimension();
  return sum;
}

FamilyTable TangentFamily::table(const std::string&) const {
  FamilyTable rows;
  for (const SeenMap& map : maps_) {
    if (map.dimension() > map.class_shifts) add_row(rows, map.family, map.dimension() - map.class_shifts);
    if (map.class_shifts > 0) add_row(rows, "class shift", map.class_shifts);
  }
  for (const TangentGenerator& g : generators_) add_row(rows, g.family, g.size());
  if (combinations_ > 0) add_row(rows, "counted in two families", -combinations_);
  return rows;
}

void TangentFamily::add_projection(const double* v, double* out) const {
  Vector<double> theta = Eigen::Map<const Vector<double>>(v, parameters().theta_size());
  Vector<double> all = Vector<double>::Zero(parameters().weight_count());
  parameters().insert(theta, all);
  Vector<double> rest = all;
  remove_unseen(rest);
  if (size() > 0)
    for (int pass = 0; pass < 2; ++pass) {  // the second seldom has anything left to do
      const Vector<double> c = solve(transposed(rest), all.norm());
      if (c.isZero(0)) break;
      rest -= apply(c);
    }
  Eigen::Map<Vector<double>>(out, parameters().theta_size()) +=
      parameters().extract(Vector<double>(all - rest));
}

}  // namespace basin
