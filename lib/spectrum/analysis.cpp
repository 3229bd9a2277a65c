#include "basin/spectrum/analysis.h"

#include <algorithm>

namespace basin {
namespace {

class Analysis {
 public:
  Analysis(const SpectrumSubject& of, const SpectrumRequest& request, const SpectrumPlan& plan,
           const SpectrumReports& reports)
      : of_(of), request_(request), plan_(plan), reports_(reports) {}

  SpectrumAnalysis run() {
    const SpectrumRequest& r = request_;
    ExtremeEigenpairs found;
    if (r.full || plan_.dense_counts) found = from_matrix();
    if (!plan_.ends_from_matrix) found = pairs(of_, r.smallest, r.largest, removed());
    if (r.counts && results_.counts.empty()) count_by_pairs(r.smallest > 0 ? &found.smallest : nullptr);
    if (r.smallest > 0) results_.eigenvalues.emplace_back("smallest", std::move(found.smallest));
    if (r.largest > 0) results_.eigenvalues.emplace_back("largest", std::move(found.largest));
    if (r.density) {
      results_.quadrature = quadrature(of_, removed(), plan_.quadrature);
      results_.density = density_curve(*results_.quadrature, DensityAxis::linear, 400, r.density_width);
    }
    if (r.norms && !results_.traces) estimate_norms();
    find_ends();
    return std::move(results_);
  }

 private:
  /// Directions that are set aside in eigenvalues and density.
  Index removed() const { return request_.restricted ? of_.modes : 0; }
  Progress progress(const std::string& work) const {
    return reports_.progress ? reports_.progress(work) : Progress();
  }

  /// What the assembled matrix tells, and the ends where it does.
  ExtremeEigenpairs from_matrix() {
    const SpectrumRequest& r = request_;
    AssembledMatrix assembled = assembled_matrix(of_.A, of_.perturbed, r.eigen.seed, progress("columns"));
    if (r.norms) {
      results_.traces = traces_of(assembled);
      if (!of_.blocks.empty()) results_.norms = block_norms_of(assembled, of_.blocks);
    }
    ExtremeEigenpairs ends;
    if (r.full || plan_.ends_from_matrix) {
      EigenResult spectrum = full_spectrum(assembled, r.with_vectors, of_.remove, removed());
      const Index left = of_.A.rows() - removed();
      if (plan_.ends_from_matrix)
        ends = ends_of_spectrum(spectrum, std::min(r.smallest, left), std::min(r.largest, left));
      const Index outermost = std::min<Index>(1, left);
      spectrum_ = ends_of_spectrum(spectrum, outermost, outermost);
      if (r.full) results_.eigenvalues.emplace_back("spectrum", std::move(spectrum));
    }
    if (plan_.dense_counts) count_densely(std::move(assembled));
    return ends;
  }

  ExtremeEigenpairs pairs(const SpectrumSubject& of, Index smallest, Index largest, Index removed) const {
    if (smallest == 0 && largest == 0) return {};
    EigenOptions options = plan_.eigen;
    options.perturbed = of.perturbed;
    return restricted_eigenpairs(of.A, of.remove, removed, smallest, largest, options,
                                 progress("eigenpairs, products (more if restarted)"));
  }

  LanczosQuadrature quadrature(const SpectrumSubject& of, Index removed, QuadratureOptions options) const {
    options.perturbed = of.perturbed;
    return lanczos_quadrature(of.A, of.remove, removed, options, progress("density"));
  }

  void count_densely(AssembledMatrix assembled) {
    constexpr Index kTakesLong = 2000;
    const double tolerance = request_.count_tolerance;
    const auto factorise = [&](const std::string& which) {
      if (assembled.size() > kTakesLong && reports_.note)
        reports_.note("two factorisations of the assembled matrix" + which +
                      ", P = " + std::to_string(assembled.size()) + " ...");
    };
    factorise("");
    if (of_.modes == 0 || of_.counted != nullptr) {
      results_.counts.push_back(dense_counts(std::move(assembled), of_.remove, 0, tolerance));
      if (of_.modes == 0) return;
      assembled = assembled_matrix(of_.counted->A, of_.counted->perturbed, request_.eigen.seed,
                                   progress("columns at the balanced point"));
    } else {
      results_.counts.push_back(dense_counts(assembled, of_.remove, 0, tolerance));
    }
    factorise(" modulo symmetries");
    add_counts(dense_counts(std::move(assembled), counted().remove, counted().modes, tolerance));
  }

  const SpectrumSubject& counted() const { return of_.counted != nullptr ? *of_.counted : of_; }
  /// Counts of what is counted, as those of A.
  void add_counts(EigenvalueCounts counts) {
    counts.removed += of_.A.rows() - counts.size;
    counts.size = of_.A.rows();
    counts.elsewhere = of_.counted != nullptr;
    results_.counts.push_back(std::move(counts));
  }

  void count_by_pairs(const EigenResult* smallest) {
    const SpectrumSubject& of = counted();
    const Index modes = of.modes, size = of.A.rows();
    if (of_.counted != nullptr || smallest == nullptr || smallest->requested < kFewestToCount ||
        smallest->removed != modes) {
      counted_ =
          pairs(of, std::min(std::max(request_.smallest, kFewestToCount), size - modes), 0, modes).smallest;
      smallest = &counted_;
    }
    const double reach = modes > 0 ? space_reach(of.A, of.remove, request_.eigen.seed) : 0;
    add_counts(krylov_counts(*smallest, size, modes, request_.count_tolerance, reach));
  }

  /// Both ends of the matrix that was asked for, as far as they are known. What is not comes from some
  /// Lanczos steps.
  void find_ends() {
    SpectrumAnalysis& r = results_;
    const bool only_counts =
        r.eigenvalues.empty() && !r.quadrature && !r.traces && !counted_.eigenvalues.empty();
    const SpectrumSubject& of = only_counts ? counted() : of_;
    const Index removed_of = only_counts ? of.modes : removed(), beyond = of_.A.rows() - of.A.rows();
    r.removed = removed_of + beyond;
    r.elsewhere = only_counts && of_.counted != nullptr;
    if (removed_of == of.A.rows()) {  // symmetry leaves nothing
      r.smallest.value = r.smallest.error = r.largest.value = r.largest.error = kNaN;
      return;
    }
    bool have_smallest = false, have_largest = false;
    const auto take = [&](const EigenResult* from, SpectrumEnd& end, bool& have) {
      if (have || from == nullptr || from->eigenvalues.empty() || from->removed != removed_of) return;
      const Eigenvalue& e = from->eigenvalues.front();
      end = {e.value, e.error_bound, true, e.converged};
      have = true;
    };
    take(&spectrum_.smallest, r.smallest, have_smallest);
    take(&spectrum_.largest, r.largest, have_largest);
    take(r.find("smallest"), r.smallest, have_smallest);
    take(r.find("largest"), r.largest, have_largest);
    if (only_counts || of_.counted == nullptr) take(&counted_, r.smallest, have_smallest);
    if (have_smallest && have_largest) return;
    constexpr Index kSteps = 40;
    const bool known = r.quadrature && r.quadrature->removed == r.removed;
    const LanczosQuadrature q =
        known ? *r.quadrature : quadrature(of, removed_of, {1, kSteps, request_.eigen.seed, 1});
    if (!have_smallest) r.smallest = {q.lowest(), q.rounding, false, true};
    if (!have_largest) r.largest = {q.highest(), q.rounding, false, true};
  }

  void estimate_norms() {
    const SpectrumRequest& r = request_;
    const Vector<double> rounding = row_rounding(of_.A, of_.perturbed, r.eigen.seed);
    results_.traces = estimated_traces(of_.A, rounding, r.norm_probes, r.eigen.seed, progress("trace"));
    if (of_.blocks.empty()) return;
    results_.norms = estimated_block_norms(of_.A, rounding, of_.blocks, r.norm_probes, r.eigen.seed,
                                           progress("norms of blocks"));
  }

  const SpectrumSubject& of_;
  const SpectrumRequest& request_;
  const SpectrumPlan& plan_;
  const SpectrumReports& reports_;
  SpectrumAnalysis results_;
  ExtremeEigenpairs spectrum_;  ///< the outermost eigenvalues, where all were computed
  EigenResult counted_;         ///< the smallest ones that were computed to be counted
};

}  // namespace

const EigenResult* SpectrumAnalysis::find(const std::string& which) const {
  for (const auto& [name, result] : eigenvalues)
    if (name == which) return &result;
  return nullptr;
}

const EigenvalueCounts* SpectrumAnalysis::find_counts(Index directions) const {
  for (const EigenvalueCounts& of : counts)
    if (of.removed == directions) return &of;
  return nullptr;
}

bool SpectrumAnalysis::all_converged() const {
  return std::all_of(eigenvalues.begin(), eigenvalues.end(),
                     [](const auto& e) { return e.second.all_converged(); });
}

bool SpectrumAnalysis::has_no_negative() const {
  if (!counts.empty()) {
    const EigenvalueCounts& c = counts.back();
    return c.negative == 0 && c.exact() && (c.removed == c.size || c.decided(norm()));
  }
  const EigenResult* all = find("spectrum");
  if (all == nullptr) return false;
  const Eigenvalue& lowest = all->eigenvalues.front();
  return lowest.value >= -lowest.error_bound &&
         (norm() == 0 || lowest.error_bound <= EigenvalueCounts::kMostRounding * norm());
}

SpectrumAnalysis analyse_spectrum(const SpectrumSubject& of, const SpectrumRequest& request,
                                  const SpectrumPlan& plan, const SpectrumReports& reports) {
  return Analysis(of, request, plan, reports).run();
}

}  // namespace basin
