#include "basin/single_layer/kernel_analysis.h"

#include <algorithm>

#include "basin/linalg/errors.h"
#include "basin/model/perturbation.h"

namespace basin {
namespace {

AttentionFactors factors_of_sample(const ModelPoint<double>& point, Index i) {
  const Index n = point.data->X.rows() / point.data->samples;
  auto data = std::make_shared<Data<double>>();
  *data = {1, point.data->X.middleRows(i * n, n), point.data->Y.middleRows(i * n, n)};
  return attention_factors({point.model, point.weights, data});
}

Progress progress_of(const NtkAnalysisOptions& options, const std::string& work) {
  return options.progress ? options.progress(work) : Progress();
}

}  // namespace

std::vector<std::vector<std::string>> kernel_sets(const std::vector<std::string>& trained, KernelSets which) {
  std::vector<std::vector<std::string>> sets;
  if (which != KernelSets::sum)
    for (const std::string& block : trained) sets.push_back({block});
  constexpr std::size_t kMostBlocks = 12;  // of which 4095 sets are made
  if (which == KernelSets::unions && trained.size() > kMostBlocks)
    throw InputError("the sets of " + std::to_string(trained.size()) +
                     " blocks are too many; expected at most " + std::to_string(kMostBlocks) + " blocks");
  const unsigned all = which == KernelSets::unions ? (1U << trained.size()) - 1 : 0;
  for (unsigned mask = 1; mask < all; ++mask) {
    std::vector<std::string> set;
    for (std::size_t b = 0; b < trained.size(); ++b)
      if (mask >> b & 1U) set.push_back(trained[b]);
    if (set.size() > 1) sets.push_back(set);
  }
  sets.push_back(trained);
  return sets;
}

bool NtkAnalysis::has_all_eigenvalues() const {
  return std::all_of(spectra.begin(), spectra.end(), [](const auto& s) { return s.has_value(); });
}

MinimaOptions minima_options(const NtkAnalysisOptions& options) {
  MinimaOptions minima;
  minima.form = options.method == NtkMethod::formed || options.method == NtkMethod::automatic;
  minima.use_jacobian = options.method == NtkMethod::automatic;
  minima.spectra = options.method == NtkMethod::singular_values;
  minima.memory = options.memory;
  minima.operations = options.operations;
  return minima;
}

NtkAnalysis analyse_ntk(const ModelPoint<double>& point, const std::vector<std::vector<std::string>>& sets,
                        const NtkAnalysisOptions& options) {
  NtkAnalysis result;
  const MeasuredFactors factors = measured_factors(point);
  const InitialisationConditions conditions(factors);
  result.ranks = conditions.ranks();
  const Progress progress = progress_of(options, "conditions, kernels");
  for (const auto& set : sets) {
    result.kernels.push_back({{}, conditions.of(set)});
    report(progress, static_cast<Index>(result.kernels.size()), static_cast<Index>(sets.size()));
  }
  MinimaOptions how = minima_options(options);
  how.note = options.note;
  Minima found = kernel_minima(point, factors, sets, how,
                               progress_of(options, how.form ? "kernels" : "Jacobian, samples"));
  result.spectra = std::move(found.spectra);
  if (options.method == NtkMethod::matrix_free && !result.kernels.back().conditions.refuted()) {
    result.products = matrix_free_minimum(
        point.linearize({.memory = options.products_memory}), linearize_perturbed(point), factors.factors,
        [&](Index i) { return factors_of_sample(point, i); }, options.matrix_free,
        progress_of(options, "products with the kernel"));
    found.minima.back() = result.products->kernel;
  }
  for (std::size_t k = 0; k < sets.size(); ++k)
    result.kernels[k].minimum = with_conditions(found.minima[k], result.kernels[k].conditions);
  return result;
}

double analysis_bytes(const AttentionSpec& spec, Index samples, NtkMethod method,
                      const std::vector<std::vector<std::string>>& sets) {
  const double conditions = conditions_bytes(spec, samples);
  switch (method) {
    case NtkMethod::singular_values:
      return std::max(conditions, jacobian_cost(spec, samples, sets.back(), sets).bytes +
                                      measured_factors_bytes(spec, samples));
    case NtkMethod::matrix_free:
      return std::max(conditions, measured_factors_bytes(spec, samples) + matrix_free_bytes(spec, samples));
    default:
      return std::max(conditions, formed_minima_bytes(spec, samples));
  }
}

}  // namespace basin
