#include "basin/spectrum/eigenpairs.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <numeric>
#include <optional>
#include <sstream>

#include "basin/linalg/dense.h"
#include "basin/linalg/errors.h"
#include "basin/linalg/random.h"
#include "basin/linalg/sums.h"
#include "basin/spectrum/completeness_search.h"
#include "basin/spectrum/restarted_lanczos.h"

namespace basin {
namespace {

bool solved_densely(Index size, const Wanted& wanted, const EigenOptions& options) {
  return size <= options.dense_limit || least_krylov_size(wanted) >= size / 2;
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
  const Vector<double> rounding = product_rounding(A, options.perturbed, X, AX);
  // Vectors found in several rounds are orthonormal but for their own errors, which |I - X^T X| measures.
  const double skew = (gram(X, X) - Vectors<double>::Identity(X.cols(), X.cols())).norm();
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
  text << "complete with multiplicities to within " << result.resolution
       << " of the last, as far as random probing shows: ";
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

/// Both ends of a spectrum by Lanczos with restarts, and a search for what that has missed.
class EndsByLanczos {
 public:
  EndsByLanczos(const SelfAdjointOperator& A, const Wanted& wanted, const EigenOptions& options,
                const Progress& progress);
  EndsByLanczos(const EndsByLanczos&) = delete;
  EndsByLanczos& operator=(const EndsByLanczos&) = delete;

  ExtremeEigenpairs find();

 private:
  /// Calls work(end, number wanted, its result) for the ends that are wanted.
  template <class Work>
  void each_end(const Work& work) {
    if (wanted_.smallest > 0) work(End::smallest, wanted_.smallest, result_.smallest);
    if (wanted_.largest > 0) work(End::largest, wanted_.largest, result_.largest);
  }
  bool both() const { return wanted_.smallest > 0 && wanted_.largest > 0; }

  void pairs_of_zero();
  void pairs_of_krylov_spaces();
  /// Whether all converged.
  bool solve(Lanczos& solver);
  /// Which ends have converged: where one has not there is no point in looking for more.
  Wanted settled(const EndPairs& found) const;
  /// Improves the pairs of the settled ends.
  void look_for_missed(CompletenessSearch& search, const Wanted& complete, EndPairs& found);
  void record(const CompletenessSearch& search, const Wanted& complete, const EndPairs& found);

  const SelfAdjointOperator& A_;
  Wanted wanted_;
  const EigenOptions& options_;
  Index products_before_, krylov_;  // the latter vectors of a space
  double norm_;
  Index expected_;  // products: without restarts it takes so many; a restart takes half a space more
  std::function<void()> count_products_;
  std::ostringstream method_;
  ExtremeEigenpairs result_;
};

EndsByLanczos::EndsByLanczos(const SelfAdjointOperator& A, const Wanted& wanted, const EigenOptions& options,
                             const Progress& progress)
    : A_(A),
      wanted_(wanted),
      options_(options),
      products_before_(A.products()),
      krylov_(krylov_size(A.rows(), wanted, options.krylov_vectors)),
      norm_(norm_estimate(A, options.seed)),
      expected_(krylov_ + 4 * wanted.total() + options.probe_block * options.probe_steps),
      count_products_([this, &progress] {
        const Index done = A_.products() - products_before_;
        if (done >= expected_) expected_ += krylov_ / 2;
        report(progress, done, expected_);
      }) {}

ExtremeEigenpairs EndsByLanczos::find() {
  if (norm_ == 0)
    pairs_of_zero();
  else
    pairs_of_krylov_spaces();
  each_end([&](End end, Index count, EigenResult& side) {
    side.requested = count;
    side.products = A_.products() - products_before_;
    side.shared = both();
    if (side.completeness.empty()) side.completeness = completeness_statement(side, end);
  });
  return std::move(result_);
}

void EndsByLanczos::pairs_of_zero() {
  each_end([&](End end, Index count, EigenResult& side) {
    measure(A_, end, options_, norm_, Vectors<double>::Identity(A_.rows(), count), side);
    side.method = "power method: the operator maps a random vector to zero";
    side.completeness = "an operator that maps a random vector to zero is zero with probability one";
  });
}

void EndsByLanczos::pairs_of_krylov_spaces() {
  const ScaledShift op(A_, norm_, count_products_);
  std::optional<Lanczos> solver(std::in_place, op, wanted_, krylov_);
  const bool ended = solve(*solver);
  CompletenessSearch search(A_, options_, norm_, count_products_);
  EndPairs found = ritz_pairs(A_, solver->ritz_vectors(), wanted_);
  solver.reset();  // its memory
  if (ended) found = search.polished(std::move(found), wanted_);
  const Wanted complete = settled(found);
  if (complete.total() > 0) look_for_missed(search, complete, found);
  record(search, complete, found);
}

bool EndsByLanczos::solve(Lanczos& solver) {
  Vector<double> start(A_.rows());
  Random(options_.seed, "Lanczos start").fill_normal(start);
  // A tenth of the tolerance for the recurrence: what is found later adds to residuals, and those computed
  // afresh decide.
  const bool ended = solver.solve(
      start,
      [&](const Vector<double>&, const Vector<double>& residuals) {
        return residuals.maxCoeff() <= options_.tolerance / 10;
      },
      options_.max_restarts);
  method_ << "Spectra, thick-restarted Lanczos with a space of " << krylov_ << " vectors"
          << (both() ? " for both ends" : "") << ", " << solver.restarts() << " restarts; tolerance "
          << options_.tolerance << " |A|, |A| about " << norm_;
  return ended;
}

Wanted EndsByLanczos::settled(const EndPairs& found) const {
  const auto all = [&](Index first, Index count) {
    return (found.residuals.segment(first, count).array() <= options_.tolerance * norm_).all() ? count : 0;
  };
  return {all(0, wanted_.smallest), all(wanted_.smallest, wanted_.largest)};
}

void EndsByLanczos::look_for_missed(CompletenessSearch& search, const Wanted& complete, EndPairs& found) {
  const std::vector<Index> columns = end_columns(complete, wanted_.total());
  EndPairs part = {found.vectors(Eigen::all, columns), found.values(columns), found.residuals(columns)};
  search.run(part, complete);
  found.vectors(Eigen::all, columns) = search.polished(std::move(part), complete).vectors;
  method_ << "; then " << search.probes << " block Krylov spaces of " << options_.probe_block
          << " random vectors and " << options_.probe_steps << " steps in the complement";
}

void EndsByLanczos::record(const CompletenessSearch& search, const Wanted& complete, const EndPairs& found) {
  each_end([&](End end, Index count, EigenResult& side) {
    const bool low = end == End::smallest;
    measure(A_, end, options_, norm_, low ? found.vectors.leftCols(count) : found.vectors.rightCols(count),
            side);
    side.method = method_.str();
    if ((low ? complete.smallest : complete.largest) > 0) side.probes = search.probes;
    side.resolved = search.resolved;
    side.resolution = search.resolution();
    side.no_more_beyond = low ? search.none_below : search.none_above;
  });
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
  if (solved_densely(size, wanted, options))
    return ends_of_spectrum(full_spectrum(A, true, options, progress), smallest, largest);
  return EndsByLanczos(A, wanted, options, progress).find();
}

EigenResult extreme_eigenpairs(const SelfAdjointOperator& A, End end, Index count,
                               const EigenOptions& options, const Progress& progress) {
  if (end == End::smallest) return extreme_eigenpairs(A, count, 0, options, progress).smallest;
  return extreme_eigenpairs(A, 0, count, options, progress).largest;
}

ExtremeEigenpairs restricted_eigenpairs(const SelfAdjointOperator& A, const Removal& remove, Index removed,
                                        Index smallest, Index largest, const EigenOptions& options,
                                        const Progress& progress) {
  if (removed == 0) return extreme_eigenpairs(A, smallest, largest, options, progress);
  const Index left = A.rows() - removed;
  const Wanted wanted = {std::min(smallest, left), std::min(largest, left)};
  if (solved_densely(A.rows(), wanted, options))
    return ends_of_spectrum(
        full_spectrum(assembled_matrix(A, options.perturbed, options.seed, progress), true, remove, removed),
        wanted.smallest, wanted.largest);
  const double norm = norm_estimate(A, options.seed);
  const auto one_end = [&](End end, Index count) {
    if (count == 0) return EigenResult();
    const double shift = (end == End::smallest ? 1.5 : -1.5) * norm;
    const DeflatedOperator restricted(A, remove, shift);
    std::optional<DeflatedOperator> perturbed;
    EigenOptions own = options;
    if (options.perturbed) own.perturbed = &perturbed.emplace(*options.perturbed, remove, shift);
    EigenResult result = extreme_eigenpairs(restricted, end, count, own, progress);
    result.removed = removed;
    if (norm == 0) {  // any vectors are eigenvectors: some of the complement
      Random(options.seed, "complement").fill_normal(result.eigenvectors);
      remove(result.eigenvectors);
      result.eigenvectors = orthonormal_columns(std::move(result.eigenvectors));
    }
    return result;
  };
  return {one_end(End::smallest, wanted.smallest), one_end(End::largest, wanted.largest)};
}

ExtremeEigenpairs ends_of_spectrum(const EigenResult& spectrum, Index smallest, Index largest) {
  const auto end = [&](Index count, bool from_top) {
    EigenResult result;
    if (count == 0) return result;
    result = spectrum;
    result.eigenvalues.resize(count);
    std::vector<Index> order(count);
    for (Index i = 0; i < count; ++i) {
      order[i] = from_top ? static_cast<Index>(spectrum.eigenvalues.size()) - 1 - i : i;
      result.eigenvalues[i] = spectrum.eigenvalues[order[i]];
    }
    if (spectrum.eigenvectors.cols() > 0) result.eigenvectors = spectrum.eigenvectors(Eigen::all, order);
    result.requested = result.converged = count;
    result.shared = smallest > 0 && largest > 0;
    return result;
  };
  return {end(smallest, false), end(largest, true)};
}

EigenResult full_spectrum(AssembledMatrix assembled, bool with_vectors, const Removal& remove,
                          Index removed) {
  EigenResult result;
  const Vectors<double>& matrix = assembled.matrix;
  const Index size = assembled.size(), left = size - removed;
  // The space goes to the top, from where it is taken off; that of a zero matrix above what underflows.
  constexpr double kLeast = 4 * std::numeric_limits<double>::min();
  if (removed > 0)
    deflate(assembled, remove,
            1.5 * spectral_norm(matrix) + 2 * assembled.rounding + static_cast<double>(size) * kLeast);
  SymmetricEigen eigen = symmetric_eigen(matrix, with_vectors);
  const Vector<double>& values = eigen.values;
  const double bound = assembled.asymmetry + static_cast<double>(size) * kEps * values.cwiseAbs().maxCoeff() +
                       assembled.rounding;
  Vector<double> residuals = Vector<double>::Constant(size, kNaN);
  if (with_vectors) {
    residuals = column_norms(matrix * eigen.vectors - eigen.vectors * values.asDiagonal());
    result.eigenvectors = std::move(eigen.vectors);
    result.eigenvectors.conservativeResize(size, left);
  }
  for (Index i = 0; i < left; ++i) result.eigenvalues.push_back({values[i], residuals[i], bound, true});
  result.requested = result.converged = left;
  result.removed = removed;
  result.products = assembled.products;
  result.dense = true;
  result.joint_bound = bound;
  result.method = "dense, LAPACK dsyevd on the assembled matrix";
  result.completeness = "complete: all " + std::to_string(left) + " eigenvalues with their multiplicities";
  return result;
}

EigenResult full_spectrum(const SelfAdjointOperator& A, bool with_vectors, const EigenOptions& options,
                          const Progress& progress) {
  return full_spectrum(assembled_matrix(A, options.perturbed, options.seed, progress), with_vectors);
}

double full_spectrum_bytes(Index size, bool with_vectors) {
  // The matrix and the solver's copy; with vectors also dsyevd's workspace of two matrices.
  return 8.0 * static_cast<double>(size) * static_cast<double>(size) * (with_vectors ? 4.5 : 2);
}

double extreme_eigenpairs_bytes(Index size, Index smallest, Index largest, const EigenOptions& options) {
  const Wanted wanted = {smallest, largest};
  if (solved_densely(size, wanted, options)) return full_spectrum_bytes(size, true);
  // Spectra's basis, and half of it once more while it is compressed, or that of the probes with a block of
  // products and Ritz vectors; pairs, products and residuals.
  const Index krylov = krylov_size(size, wanted, options.krylov_vectors);
  const Index basis = std::max(krylov + krylov / 2 + 2, options.probe_block * (options.probe_steps + 8));
  return 8.0 * static_cast<double>(size) * static_cast<double>(basis + 6 * wanted.total());
}

}  // namespace basin
