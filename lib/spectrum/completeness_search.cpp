#include "basin/spectrum/completeness_search.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "basin/linalg/random.h"

namespace basin {
namespace {

/// How far an eigenvalue may lie beyond the outermost Ritz value, in units of the width of the spectrum, but
/// for a chance of `chance`: s steps of Lanczos from a random vector of n numbers miss by more than epsilon
/// with a chance below 1.648 sqrt(n) exp(-(2 s - 1) sqrt(epsilon)) (Kuczynski and Wozniakowski, SIAM J.
/// Matrix Anal. Appl. 13, 1992, theorem 4.2), and the vectors of a block are independent.
double relative_miss(Index n, Index steps, Index block, double chance) {
  const double each = std::pow(chance, 1.0 / static_cast<double>(block));
  const double root =
      std::log(1.648 * std::sqrt(static_cast<double>(n)) / each) / static_cast<double>(2 * steps - 1);
  return root * root;
}

}  // namespace

CompletenessSearch::CompletenessSearch(const SelfAdjointOperator& A, const EigenOptions& options, double norm,
                                       const std::function<void()>& count_products)
    : A_(A), options_(options), norm_(norm), count_products_(count_products) {
  // What cannot be resolved: the tolerance, or rounding where that is larger.
  Vectors<double> v(A.rows(), 1), Av(A.rows(), 1);
  Random(options.seed, "rounding probe").fill_normal(v);
  v /= v.norm();
  A.apply(v, Av);
  rounding_ = product_rounding(A, options.perturbed, v, Av)[0];
  resolution_ = std::max(options.tolerance * norm, rounding_);
}

void CompletenessSearch::run(EndPairs& found, const Wanted& wanted) {
  const Index most_rounds = 4 + wanted.total();  // each but the last finds one or more
  for (Index round = 0; round < most_rounds; ++round) {
    const Limits limits = {
        wanted.smallest > 0 ? found.values[wanted.smallest - 1] - resolution() : -kInfinity,
        wanted.largest > 0 ? found.values[wanted.smallest] + resolution() : kInfinity};
    // What was found is moved to where nothing is looked for: between the ends, or to the other end.
    const double aside = wanted.smallest == 0  ? -norm_
                         : wanted.largest == 0 ? norm_
                                               : (limits.low + limits.high) / 2;
    const DeflatedOperator C(A_, removal_of(found.vectors), aside);
    const Index block = std::min(options_.probe_block, A_.rows() - wanted.total());
    Vectors<double> start(A_.rows(), block);
    Random(options_.seed, "probe " + std::to_string(round)).fill_normal(start);
    removal_of(found.vectors)(start);
    ++probes;
    Wanted ends = {wanted.smallest > 0 ? block : 0, wanted.largest > 0 ? block : 0};
    // The chances of all rounds together are at most 1e-6.
    EndPairs seen = look(C, start, ends, 1e-6 / static_cast<double>((round + 1) * (round + 2)));
    Wanted fresh = beyond(seen.values, limits);
    EndPairs joining;
    if (fresh.total() > 0) {
      joining = take(C, seen, fresh);
    } else {
      // What is seen may still be on its way to something beyond.
      const Wanted open = open_ends(C, seen, ends, limits);
      if (open.total() == 0) return;
      if (!follow(C, start.col(0), open, limits, seen)) {
        resolved = false;
        return;
      }
      fresh = beyond(seen.values, limits);
      if (fresh.total() == 0) return;
      joining = take(C, seen, fresh);
    }
    // Something new: to the end with it.
    for (Index restart = 0; restart < options_.max_restarts && !converged(joining); ++restart) {
      ends = {fresh.smallest > 0 ? block : 0, fresh.largest > 0 ? block : 0};
      seen = look(C, seen.vectors, ends, 1);
      fresh = beyond(seen.values, limits);
      joining = take(C, seen, fresh);
    }
    Vectors<double> all(A_.rows(), wanted.total() + fresh.total());
    all << found.vectors, joining.vectors;
    const double before = spread(found, wanted);
    found = ritz_pairs(A_, all, wanted);
    if (spread(found, wanted) - before <= resolution()) break;  // no progress: rounding
  }
  none_below = none_above = kNaN;
}

EndPairs CompletenessSearch::polished(EndPairs found, const Wanted& wanted) const {
  constexpr int kPasses = 3, kSteps = 3;
  for (int pass = 0; pass < kPasses && !converged(found); ++pass) {
    KrylovSpace space(A_, found.vectors, kSteps * wanted.total());
    while (space.expand()) {
    }
    found = ritz_pairs(A_, outermost(space, wanted).vectors, wanted);
  }
  return found;
}

EndPairs CompletenessSearch::outermost(const KrylovSpace& space, const Wanted& wanted) {
  const SymmetricEigen eigen = symmetric_eigen(space.projected(), true);
  const std::vector<Index> columns = end_columns(wanted, space.size());
  return {space.basis() * eigen.vectors(Eigen::all, columns), eigen.values(columns), {}};
}

EndPairs CompletenessSearch::look(const SelfAdjointOperator& C, const Vectors<double>& start,
                                  const Wanted& ends, double chance) {
  KrylovSpace space(C, start, start.cols() * options_.probe_steps);
  while (space.expand()) count_products_();
  const Vector<double> values = symmetric_eigen(space.projected(), false).values;
  const double lowest = values[0], highest = values[values.size() - 1];
  double margin = kNaN;
  if (space.exhausted()) {
    margin = resolution_;
  } else if (const double miss = relative_miss(A_.rows(), space.steps(), start.cols(), chance); miss < 0.25) {
    margin = miss / (1 - 2 * miss) * (highest - lowest) + resolution_;
  }
  none_below = ends.smallest > 0 ? lowest - margin : kNaN;
  none_above = ends.largest > 0 ? highest + margin : kNaN;
  return outermost(space, ends);
}

bool CompletenessSearch::stands(double inside, double residual) const {
  return residual <= std::max(0.1 * (inside - resolution()), options_.tolerance / 10 * norm_);
}

Wanted CompletenessSearch::open_ends(const SelfAdjointOperator& C, const EndPairs& seen, const Wanted& ends,
                                     const Limits& limits) const {
  const Wanted outer = {std::min<Index>(ends.smallest, 1), std::min<Index>(ends.largest, 1)};
  const EndPairs edge = take(C, seen, outer);
  Wanted open = {0, 0};
  if (outer.smallest > 0 && !(none_below > limits.low) &&
      !stands(edge.values[0] - limits.low, edge.residuals[0]))
    open.smallest = 1;
  const Index last = outer.total() - 1;
  if (outer.largest > 0 && !(none_above < limits.high) &&
      !stands(limits.high - edge.values[last], edge.residuals[last]))
    open.largest = 1;
  return open;
}

bool CompletenessSearch::follow(const SelfAdjointOperator& C, const Vector<double>& start, const Wanted& open,
                                const Limits& limits, EndPairs& seen) const {
  const ScaledShift op(C, norm_, count_products_);
  Lanczos solver(op, open, krylov_size(C.rows(), open, options_.krylov_vectors));
  const bool ended = solver.solve(
      start,
      [&](const Vector<double>& values, const Vector<double>& residuals) {
        const Index last = open.total() - 1;
        return (open.smallest == 0 || stands(norm_ * values[0] - limits.low, norm_ * residuals[0])) &&
               (open.largest == 0 || stands(limits.high - norm_ * values[last], norm_ * residuals[last]));
      },
      options_.max_restarts);
  seen = ritz_pairs(C, solver.ritz_vectors(), open);
  return ended;
}

Wanted CompletenessSearch::beyond(const Vector<double>& values, const Limits& limits) {
  return {(values.array() < limits.low).count(), (values.array() > limits.high).count()};
}

EndPairs CompletenessSearch::take(const SelfAdjointOperator& C, const EndPairs& seen, const Wanted& ends) {
  const std::vector<Index> columns = end_columns(ends, seen.vectors.cols());
  return ritz_pairs(C, seen.vectors(Eigen::all, columns), ends);
}

double CompletenessSearch::spread(const EndPairs& pairs, const Wanted& wanted) {
  return pairs.values.tail(wanted.largest).sum() - pairs.values.head(wanted.smallest).sum();
}

bool CompletenessSearch::converged(const EndPairs& pairs) const {
  return pairs.residuals.size() == 0 ||
         pairs.residuals.maxCoeff() <= std::max(options_.tolerance / 10 * norm_, rounding_);
}

}  // namespace basin
