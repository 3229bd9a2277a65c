#include "spectrum/eigenpairs.h"

#include <Spectra/SymEigsSolver.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <numeric>
#include <optional>
#include <sstream>

#include "linalg/combinators.h"
#include "linalg/dense.h"
#include "linalg/errors.h"
#include "linalg/krylov.h"
#include "linalg/random.h"

namespace basin {
namespace {

constexpr double kEps = std::numeric_limits<double>::epsilon();
constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
constexpr double kInfinity = std::numeric_limits<double>::infinity();

void check_finite(const Vectors<double>& products) {
  if (!products.allFinite())
    throw WorkError("a product of the operator is not finite: eigenvalues are not defined");
}

/// What Spectra multiplies by: B = A / s + 2 I with s about |A|. Its tests for breakdown have no scale, and
/// it multiplies the start vector by B, which would take the null space of A / s out of it.
class ScaledShift {
 public:
  using Scalar = double;
  ScaledShift(const SelfAdjointOperator& A, double scale, const std::function<void()>& count_product)
      : A_(A), scale_(scale), count_product_(count_product) {}
  Index rows() const { return A_.rows(); }
  Index cols() const { return A_.cols(); }
  void perform_op(const double* x, double* y) const {
    const Eigen::Map<const Vectors<double>> in(x, cols(), 1);
    Eigen::Map<Vectors<double>> out(y, rows(), 1);
    A_.apply(in, out);
    check_finite(out);
    out = out / scale_ + kShift * in;
    count_product_();
  }

  static constexpr double kShift = 2;

 private:
  const SelfAdjointOperator& A_;
  double scale_;
  const std::function<void()>& count_product_;
};

/// How many pairs are wanted of either end.
struct Wanted {
  Index smallest, largest;
  Index total() const { return smallest + largest; }
};

/// Columns of a matrix with `size` columns in ascending order that belong to the wanted ends.
std::vector<Index> end_columns(const Wanted& wanted, Index size) {
  std::vector<Index> columns;
  for (Index j = 0; j < size; ++j)
    if (j < wanted.smallest || j >= size - wanted.largest) columns.push_back(j);
  return columns;
}

/// Spectra's Lanczos factorisation and its implicit restarts, but the space is looked at while it grows, and
/// a restart keeps half of it: Spectra's own loop fills the space first and keeps little more than the
/// wanted.
class Lanczos {
  using Operator = Spectra::ArnoldiOp<double, ScaledShift, Spectra::IdentityBOp>;

 public:
  Lanczos(const ScaledShift& op, const Wanted& wanted, Index vectors)
      : factorisation_(Operator(op, {}), vectors), most_(vectors), wanted_(wanted), kept_(wanted) {
    while (kept_.total() < vectors / 2) {
      if (wanted.smallest > 0) ++kept_.smallest;
      if (wanted.largest > 0) ++kept_.largest;
    }
  }

  /// Says whether to stop, given the wanted Ritz values of A / s (ascending) and their residuals.
  using Stop = std::function<bool(const Vector<double>& values, const Vector<double>& residuals)>;

  /// Until `stop` says so, or that many restarts.
  bool solve(const Vector<double>& start, const Stop& stop, Index max_restarts) {
    Eigen::Map<const Eigen::VectorXd> first(start.data(), start.size());
    factorisation_.init(first, products_);
    Index size = 1;
    for (;; ++restarts_) {
      while (size < most_) {
        const Index next = std::min(std::max(size + size / 8, size + 8), most_);
        factorisation_.factorize_from(size, next, products_);
        size = next;
        if (size > 2 * wanted_.total() && stops(size, stop)) return true;
      }
      if (restarts_ == max_restarts) return false;
      size = restart();
    }
  }

  Index restarts() const { return restarts_; }

  /// The Ritz vectors of the outermost Ritz values, converged or not.
  Vectors<double> ritz_vectors() const {
    const Index size = factorisation_.subspace_dim();
    const SymmetricEigen ritz = projected(size);
    return factorisation_.matrix_V().leftCols(size) * ritz.vectors(Eigen::all, end_columns(wanted_, size));
  }

 private:
  SymmetricEigen projected(Index size) const {
    return symmetric_eigen(factorisation_.matrix_H().topLeftCorner(size, size), true);
  }

  bool stops(Index size, const Stop& stop) const {
    const SymmetricEigen ritz = projected(size);
    const std::vector<Index> columns = end_columns(wanted_, size);
    const Vector<double> last = ritz.vectors.row(size - 1).transpose();
    return stop(ritz.values(columns).array() - ScaledShift::kShift,
                factorisation_.f_norm() * last(columns).cwiseAbs());
  }

  /// Takes away the Ritz values in between by shifted QR steps (Sorensen, 1992).
  Index restart() {
    const Vector<double> ritz = projected(most_).values;
    Vector<double> shifts = ritz.segment(kept_.smallest, most_ - kept_.total());
    std::sort(shifts.begin(), shifts.end(), std::greater<>());
    Spectra::TridiagQR<double> decomposition(most_);
    Vectors<double> Q = Vectors<double>::Identity(most_, most_);
    for (const double shift : shifts) {
      decomposition.compute(factorisation_.matrix_H(), shift);
      decomposition.apply_YQ(Q);
      factorisation_.compress_H(decomposition);
    }
    factorisation_.compress_V(Q);
    return kept_.total();
  }

  Spectra::Lanczos<double, Operator> factorisation_;
  Index most_;
  Wanted wanted_, kept_;
  Index restarts_ = 0, products_ = 0;
};

/// Twice the wanted number and some: Spectra's own advice, with room for clusters.
Index least_krylov_size(const Wanted& wanted) {
  return std::max<Index>(2 * wanted.total() + 10, 24);
}

/// As much as is allowed: each restart throws away what made the ends converge, and the space is cheap beside
/// the products.
Index krylov_size(Index size, const Wanted& wanted, Index allowed) {
  return std::max(least_krylov_size(wanted), std::min(allowed, size / 2));
}

bool solved_densely(Index size, const Wanted& wanted) {
  return least_krylov_size(wanted) >= size / 2;
}

/// Approximate eigenpairs, ascending: those of the smallest values, then those of the largest.
struct RitzPairs {
  Vectors<double> vectors;  ///< orthonormal
  Vector<double> values;
  Vector<double> residuals;  ///< |A x - value x| of each
};

/// The wanted Ritz pairs in the span of Z (one product with each of its vectors).
RitzPairs ritz_pairs(const SelfAdjointOperator& A, const Vectors<double>& Z, const Wanted& wanted) {
  const Vectors<double> Q = orthonormal_columns(Z);
  Vectors<double> AQ(Q.rows(), Q.cols());
  A.apply(Q, AQ);
  check_finite(AQ);
  const Vectors<double> T = Q.transpose() * AQ;
  const SymmetricEigen eigen = symmetric_eigen((T + T.transpose()) / 2, true);
  const std::vector<Index> columns = end_columns(wanted, Z.cols());
  const Vectors<double> S = eigen.vectors(Eigen::all, columns);
  RitzPairs pairs = {Q * S, eigen.values(columns), {}};
  pairs.residuals = column_norms(AQ * S - pairs.vectors * pairs.values.asDiagonal());
  return pairs;
}

/// Records of the unit vectors X from fresh products, outermost first; X is put in the same order.
void measure(const SelfAdjointOperator& A, End end, const EigenOptions& options, double norm,
             Vectors<double> X, EigenResult& result) {
  Vectors<double> AX(A.rows(), X.cols());
  A.apply(X, AX);
  check_finite(AX);
  const Vector<double> values = X.cwiseProduct(AX).colwise().sum();
  const Vectors<double> R = AX - X * values.asDiagonal();
  const Vector<double> residuals = column_norms(R);
  const Vector<double> rounding = product_rounding(A, options.twin, X, AX);
  // Vectors found in several rounds are orthonormal but for their own errors, which |I - X^T X| measures.
  const double skew = (X.transpose() * X - Vectors<double>::Identity(X.cols(), X.cols())).norm();
  result.joint_bound =
      (residuals.stableNorm() + rounding.stableNorm() + skew * norm) / (1 - std::min(0.5, skew));
  std::vector<Index> order(values.size());
  std::iota(order.begin(), order.end(), Index{0});
  std::stable_sort(order.begin(), order.end(), [&](Index a, Index b) {
    return end == End::largest ? values[a] > values[b] : values[a] < values[b];
  });
  for (const Index j : order) {
    result.eigenvalues.push_back(
        {values[j], residuals[j], residuals[j] + rounding[j], residuals[j] <= options.tolerance * norm});
    result.converged += result.eigenvalues.back().converged ? 1 : 0;
  }
  result.eigenvectors = X(Eigen::all, order);
}

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

/// Looks for eigenvalues that were missed: in the complement of what was found, from fresh random blocks.
class MissedSearch {
 public:
  MissedSearch(const SelfAdjointOperator& A, const EigenOptions& options, double norm,
               const std::function<void()>& count_products)
      : A_(A), options_(options), norm_(norm), count_products_(count_products) {
    // What cannot be resolved: the tolerance, or rounding where that is larger.
    Vectors<double> v(A.rows(), 1), Av(A.rows(), 1);
    Random(options.seed, "rounding probe").fill_normal(v);
    v /= v.norm();
    A.apply(v, Av);
    rounding_ = product_rounding(A, options.twin, v, Av)[0];
    resolution_ = std::max(options.tolerance * norm, rounding_);
  }

  /// What the last block showed: with probability 1 - 1e-6 each, there is no eigenvalue beyond. NaN: nothing.
  double none_below = kNaN, none_above = kNaN;
  Index probes = 0;
  /// False: the last block saw values that could still have moved beyond.
  bool resolved = true;

  /// Improves the pairs until a block finds nothing beyond the last of either end, or gives up.
  void run(RitzPairs& found, const Wanted& wanted) {
    const Index most_rounds = 4 + wanted.total();  // each but the last finds one or more
    for (Index round = 0; round < most_rounds; ++round) {
      const Limits limits = {
          wanted.smallest > 0 ? found.values[wanted.smallest - 1] - 2 * resolution_ : -kInfinity,
          wanted.largest > 0 ? found.values[wanted.smallest] + 2 * resolution_ : kInfinity};
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
      RitzPairs seen = look(C, start, ends, 1e-6 / static_cast<double>((round + 1) * (round + 2)));
      Wanted fresh = beyond(seen.values, limits);
      RitzPairs joining;
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
      if (spread(found, wanted) - before <= 2 * resolution_) break;  // no progress: rounding
    }
    none_below = none_above = kNaN;
  }

  /// The same pairs, improved by three steps with all of them where a residual is above the tolerance: after
  /// a near breakdown (few distinct eigenvalues) Spectra's estimates of residuals are too small.
  RitzPairs polished(RitzPairs found, const Wanted& wanted) const {
    constexpr int kPasses = 3, kSteps = 3;
    for (int pass = 0; pass < kPasses && !converged(found); ++pass) {
      KrylovSpace space(A_, found.vectors, kSteps * wanted.total());
      while (space.expand()) {
      }
      found = ritz_pairs(A_, outermost(space, wanted).vectors, wanted);
    }
    return found;
  }

 private:
  struct Limits {
    double low, high;
  };

  /// The outermost Ritz pairs of a Krylov space, without residuals.
  static RitzPairs outermost(const KrylovSpace& space, const Wanted& wanted) {
    const SymmetricEigen eigen = symmetric_eigen(space.projected(), true);
    const std::vector<Index> columns = end_columns(wanted, space.size());
    return {space.basis() * eigen.vectors(Eigen::all, columns), eigen.values(columns), {}};
  }

  /// The same from a start block, and what it excludes but for this chance.
  RitzPairs look(const SelfAdjointOperator& C, const Vectors<double>& start, const Wanted& ends,
                 double chance) {
    KrylovSpace space(C, start, start.cols() * options_.probe_steps);
    while (space.expand()) count_products_();
    const Vector<double> values = symmetric_eigen(space.projected(), false).values;
    const double lowest = values[0], highest = values[values.size() - 1];
    double margin = kNaN;
    if (space.exhausted()) {
      margin = resolution_;
    } else if (const double miss = relative_miss(A_.rows(), space.steps(), start.cols(), chance);
               miss < 0.25) {
      margin = miss / (1 - 2 * miss) * (highest - lowest) + resolution_;
    }
    none_below = ends.smallest > 0 ? lowest - margin : kNaN;
    none_above = ends.largest > 0 ? highest + margin : kNaN;
    return outermost(space, ends);
  }

  /// Whether a Ritz value this far inside the limit, with this residual, stands for an eigenvalue there.
  bool stands(double inside, double residual) const {
    return residual <= std::max(0.1 * (inside - 2 * resolution_), options_.tolerance / 10 * norm_);
  }

  /// Ends at which more may lie beyond than is seen: neither is that excluded, nor does the outermost value
  /// stand.
  Wanted open_ends(const SelfAdjointOperator& C, const RitzPairs& seen, const Wanted& ends,
                   const Limits& limits) const {
    const Wanted outer = {std::min<Index>(ends.smallest, 1), std::min<Index>(ends.largest, 1)};
    const RitzPairs edge = take(C, seen, outer);
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

  /// The outermost pairs of these ends by Lanczos with restarts, until they stand or are eigenpairs; false:
  /// they do not come to that.
  bool follow(const SelfAdjointOperator& C, const Vector<double>& start, const Wanted& open,
              const Limits& limits, RitzPairs& seen) const {
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

  /// How many of these values (ascending) lie beyond the limits.
  static Wanted beyond(const Vector<double>& values, const Limits& limits) {
    return {(values.array() < limits.low).count(), (values.array() > limits.high).count()};
  }

  static RitzPairs take(const SelfAdjointOperator& C, const RitzPairs& seen, const Wanted& ends) {
    const std::vector<Index> columns = end_columns(ends, seen.vectors.cols());
    return ritz_pairs(C, seen.vectors(Eigen::all, columns), ends);
  }

  /// How far out the pairs lie, all together.
  static double spread(const RitzPairs& pairs, const Wanted& wanted) {
    return pairs.values.tail(wanted.largest).sum() - pairs.values.head(wanted.smallest).sum();
  }

  // Residuals of several rounds add up: a tenth of the tolerance for each.
  bool converged(const RitzPairs& pairs) const {
    return pairs.residuals.size() == 0 ||
           pairs.residuals.maxCoeff() <= std::max(options_.tolerance / 10 * norm_, rounding_);
  }

  const SelfAdjointOperator& A_;
  const EigenOptions& options_;
  double norm_;
  const std::function<void()>& count_products_;
  double rounding_ = 0, resolution_ = 0;
};

/// The k outermost pairs of a full spectrum.
EigenResult outermost(EigenResult full, End end, Index k) {
  const Index size = static_cast<Index>(full.eigenvalues.size());
  if (end == End::largest) {
    std::reverse(full.eigenvalues.begin(), full.eigenvalues.end());
    full.eigenvectors = full.eigenvectors.rowwise().reverse().eval();
  }
  full.eigenvalues.resize(k);
  full.eigenvectors.conservativeResize(size, k);
  full.requested = full.converged = k;
  return full;
}

std::string completeness_statement(const EigenResult& result, End end) {
  std::ostringstream text;
  text.precision(6);
  const auto count = static_cast<Index>(result.eigenvalues.size());
  if (!result.all_converged()) {
    text << "not converged: " << result.converged << " of " << count << " pairs after " << result.products
         << " products; there may be eigenvalues further out";
    return text.str();
  }
  const double last = result.eigenvalues.back().value, sign = end == End::largest ? 1 : -1;
  const char* side = end == End::largest ? "above " : "below ";
  if (!result.resolved) {
    text << "not resolved: there may be further eigenvalues, or copies, " << side << last
         << "; they converge too slowly for these restarts";
    return text.str();
  }
  text << "complete with multiplicities as far as random probing shows: ";
  if (!std::isfinite(result.no_more_beyond)) {
    text << "the search for missed ones ended where rounding decides, or with too few steps for a bound";
  } else if (sign * (result.no_more_beyond - last) <= 0) {
    text << "with probability 1 - 1e-6 there is no further eigenvalue " << side << result.no_more_beyond
         << ", let alone " << side << "the last of these";
  } else {
    text << "a fresh random block found nothing further out; with probability 1 - 1e-6 there is no further "
            "eigenvalue "
         << side << result.no_more_beyond;
  }
  return text.str();
}

}  // namespace

ExtremeEigenpairs extreme_eigenpairs(const SelfAdjointOperator& A, Index smallest, Index largest,
                                     const EigenOptions& options, const Progress& progress) {
  const Index size = A.rows();
  for (const Index count : {smallest, largest})
    if (count < 0 || count > size || smallest + largest == 0)
      throw InputError("number of eigenpairs: expected 1 to " + std::to_string(size) + ", found " +
                       std::to_string(count));
  const Wanted wanted = {smallest, largest};
  ExtremeEigenpairs result;
  if (solved_densely(size, wanted)) {
    EigenResult full = full_spectrum(A, true, options, progress);
    full.shared = smallest > 0 && largest > 0;
    if (smallest > 0) result.smallest = outermost(full, End::smallest, smallest);
    if (largest > 0) result.largest = outermost(std::move(full), End::largest, largest);
    return result;
  }

  const auto each_end = [&](const std::function<void(End, Index, EigenResult&)>& work) {
    if (smallest > 0) work(End::smallest, smallest, result.smallest);
    if (largest > 0) work(End::largest, largest, result.largest);
  };
  const Index products_before = A.products(), krylov = krylov_size(size, wanted, options.krylov_vectors);
  const double norm = norm_estimate(A, options.seed);
  if (norm == 0) {
    each_end([&](End end, Index count, EigenResult& side) {
      measure(A, end, options, norm, Vectors<double>::Identity(size, count), side);
      side.method = "power method: the operator maps a random vector to zero";
      side.completeness = "an operator that maps a random vector to zero is zero with probability one";
    });
  } else {
    const bool both = smallest > 0 && largest > 0;
    // Without restarts it takes so many; a restart takes half a space more.
    Index expected = krylov + 4 * wanted.total() + options.probe_block * options.probe_steps;
    const std::function<void()> count_products = [&] {
      const Index done = A.products() - products_before;
      if (done >= expected) expected += krylov / 2;
      report(progress, done, expected);
    };
    const ScaledShift op(A, norm, count_products);
    std::optional<Lanczos> solver(std::in_place, op, wanted, krylov);
    Vector<double> start(size);
    Random(options.seed, "Lanczos start").fill_normal(start);
    // A tenth of the tolerance for the recurrence: what is found later adds to residuals, and those computed
    // afresh decide.
    const bool ended = solver->solve(
        start,
        [&](const Vector<double>&, const Vector<double>& residuals) {
          return residuals.maxCoeff() <= options.tolerance / 10;
        },
        options.max_restarts);
    std::ostringstream method;
    method << "Spectra, thick-restarted Lanczos with a space of " << krylov << " vectors"
           << (both ? " for both ends" : "") << ", " << solver->restarts() << " restarts; tolerance "
           << options.tolerance << " |A|, |A| about " << norm;

    MissedSearch search(A, options, norm, count_products);
    RitzPairs found = ritz_pairs(A, solver->ritz_vectors(), wanted);
    solver.reset();  // its memory
    if (ended) found = search.polished(std::move(found), wanted);
    // Where an end has not converged there is no point in looking for more.
    const auto settled = [&](Index first, Index count) {
      return (found.residuals.segment(first, count).array() <= options.tolerance * norm).all() ? count : 0;
    };
    const Wanted complete = {settled(0, smallest), settled(smallest, largest)};
    if (complete.total() > 0) {
      const std::vector<Index> columns = end_columns(complete, wanted.total());
      RitzPairs part = {found.vectors(Eigen::all, columns), found.values(columns), found.residuals(columns)};
      search.run(part, complete);
      found.vectors(Eigen::all, columns) = search.polished(std::move(part), complete).vectors;
      method << "; then " << search.probes << " block Krylov spaces of " << options.probe_block
             << " random vectors and " << options.probe_steps << " steps in the complement";
    }
    each_end([&](End end, Index count, EigenResult& side) {
      measure(A, end, options, norm,
              end == End::smallest ? found.vectors.leftCols(count) : found.vectors.rightCols(count), side);
      side.method = method.str();
      if ((end == End::smallest ? complete.smallest : complete.largest) > 0) side.probes = search.probes;
      side.resolved = search.resolved;
      side.no_more_beyond = end == End::smallest ? search.none_below : search.none_above;
    });
  }
  each_end([&](End end, Index count, EigenResult& side) {
    side.requested = count;
    side.products = A.products() - products_before;
    side.shared = smallest > 0 && largest > 0;
    if (side.completeness.empty()) side.completeness = completeness_statement(side, end);
  });
  return result;
}

EigenResult extreme_eigenpairs(const SelfAdjointOperator& A, End end, Index count,
                               const EigenOptions& options, const Progress& progress) {
  if (end == End::smallest) return extreme_eigenpairs(A, count, 0, options, progress).smallest;
  return extreme_eigenpairs(A, 0, count, options, progress).largest;
}

EigenResult full_spectrum(MeasuredMatrix measured, bool with_vectors) {
  EigenResult result;
  const Vectors<double>& matrix = measured.matrix;
  const Index size = measured.size();
  SymmetricEigen eigen = symmetric_eigen(matrix, with_vectors);
  const Vector<double>& values = eigen.values;
  const double bound = measured.asymmetry + static_cast<double>(size) * kEps * values.cwiseAbs().maxCoeff() +
                       measured.rounding;
  Vector<double> residuals = Vector<double>::Constant(size, kNaN);
  if (with_vectors) {
    residuals = column_norms(matrix * eigen.vectors - eigen.vectors * values.asDiagonal());
    result.eigenvectors = std::move(eigen.vectors);
  }
  for (Index i = 0; i < size; ++i) result.eigenvalues.push_back({values[i], residuals[i], bound, true});
  result.requested = result.converged = size;
  result.products = measured.products;
  result.dense = true;
  result.joint_bound = bound;
  result.method = "dense, LAPACK dsyevd on the assembled matrix";
  result.completeness = "complete: all " + std::to_string(size) + " eigenvalues with their multiplicities";
  return result;
}

EigenResult full_spectrum(const SelfAdjointOperator& A, bool with_vectors, const EigenOptions& options,
                          const Progress& progress) {
  return full_spectrum(measured_matrix(A, options.twin, options.seed, progress), with_vectors);
}

double full_spectrum_bytes(Index size, bool with_vectors) {
  // The matrix and the solver's copy; with vectors also dsyevd's workspace of two matrices.
  return 8.0 * static_cast<double>(size) * static_cast<double>(size) * (with_vectors ? 4.5 : 2);
}

double extreme_eigenpairs_bytes(Index size, Index smallest, Index largest, const EigenOptions& options) {
  const Wanted wanted = {smallest, largest};
  if (solved_densely(size, wanted)) return full_spectrum_bytes(size, true);
  // Spectra's basis, twice while it is compressed, or that of the probes with Ritz vectors of its size;
  // pairs, products and residuals.
  const Index basis = std::max(2 * krylov_size(size, wanted, options.krylov_vectors),
                               2 * options.probe_block * options.probe_steps);
  return 8.0 * static_cast<double>(size) * static_cast<double>(basis + 6 * wanted.total());
}

}  // namespace basin
