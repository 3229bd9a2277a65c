#include "spectrum/eigenpairs.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <numeric>
#include <optional>
#include <sstream>

#include "linalg/dense.h"
#include "linalg/errors.h"
#include "linalg/random.h"
#include "linalg/sums.h"
#include "spectrum/missed_search.h"
#include "spectrum/restarted_lanczos.h"

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
  const Vector<double> rounding = product_rounding(A, options.twin, X, AX);
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
  if (solved_densely(size, wanted, options))
    return ends_of_spectrum(full_spectrum(A, true, options, progress), smallest, largest);

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
    EndPairs found = ritz_pairs(A, solver->ritz_vectors(), wanted);
    solver.reset();  // its memory
    if (ended) found = search.polished(std::move(found), wanted);
    // Where an end has not converged there is no point in looking for more.
    const auto settled = [&](Index first, Index count) {
      return (found.residuals.segment(first, count).array() <= options.tolerance * norm).all() ? count : 0;
    };
    const Wanted complete = {settled(0, smallest), settled(smallest, largest)};
    if (complete.total() > 0) {
      const std::vector<Index> columns = end_columns(complete, wanted.total());
      EndPairs part = {found.vectors(Eigen::all, columns), found.values(columns), found.residuals(columns)};
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
      side.resolution = search.resolution();
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

ExtremeEigenpairs restricted_eigenpairs(const SelfAdjointOperator& A, const Removal& remove, Index removed,
                                        Index smallest, Index largest, const EigenOptions& options,
                                        const Progress& progress) {
  if (removed == 0) return extreme_eigenpairs(A, smallest, largest, options, progress);
  const Index left = A.rows() - removed;
  const Wanted wanted = {std::min(smallest, left), std::min(largest, left)};
  if (solved_densely(A.rows(), wanted, options))
    return ends_of_spectrum(
        full_spectrum(measured_matrix(A, options.twin, options.seed, progress), true, remove, removed),
        wanted.smallest, wanted.largest);
  const double norm = norm_estimate(A, options.seed);
  const auto one_end = [&](End end, Index count) {
    if (count == 0) return EigenResult();
    const double shift = (end == End::smallest ? 1.5 : -1.5) * norm;
    const DeflatedOperator restricted(A, remove, shift);
    std::optional<DeflatedOperator> twin;
    EigenOptions own = options;
    if (options.twin) own.twin = &twin.emplace(*options.twin, remove, shift);
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

EigenResult full_spectrum(MeasuredMatrix measured, bool with_vectors, const Removal& remove, Index removed) {
  EigenResult result;
  const Vectors<double>& matrix = measured.matrix;
  const Index size = measured.size(), left = size - removed;
  // The space goes to the top, from where it is taken off; that of a zero matrix above what underflows.
  constexpr double kLeast = 4 * std::numeric_limits<double>::min();
  if (removed > 0)
    deflate(measured, remove,
            1.5 * spectral_norm(matrix) + 2 * measured.rounding + static_cast<double>(size) * kLeast);
  SymmetricEigen eigen = symmetric_eigen(matrix, with_vectors);
  const Vector<double>& values = eigen.values;
  const double bound = measured.asymmetry + static_cast<double>(size) * kEps * values.cwiseAbs().maxCoeff() +
                       measured.rounding;
  Vector<double> residuals = Vector<double>::Constant(size, kNaN);
  if (with_vectors) {
    residuals = column_norms(matrix * eigen.vectors - eigen.vectors * values.asDiagonal());
    result.eigenvectors = std::move(eigen.vectors);
    result.eigenvectors.conservativeResize(size, left);
  }
  for (Index i = 0; i < left; ++i) result.eigenvalues.push_back({values[i], residuals[i], bound, true});
  result.requested = result.converged = left;
  result.removed = removed;
  result.products = measured.products;
  result.dense = true;
  result.joint_bound = bound;
  result.method = "dense, LAPACK dsyevd on the assembled matrix";
  result.completeness = "complete: all " + std::to_string(left) + " eigenvalues with their multiplicities";
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
  if (solved_densely(size, wanted, options)) return full_spectrum_bytes(size, true);
  // Spectra's basis, twice while it is compressed, or that of the probes with Ritz vectors of its size;
  // pairs, products and residuals.
  const Index basis = std::max(2 * krylov_size(size, wanted, options.krylov_vectors),
                               2 * options.probe_block * options.probe_steps);
  return 8.0 * static_cast<double>(size) * static_cast<double>(basis + 6 * wanted.total());
}

}  // namespace basin
