#include "basin/single_layer/kernel_minima.h"

#include <algorithm>
#include <cmath>
#include <iomanip>
#include <limits>
#include <sstream>

#include "basin/linalg/definite.h"
#include "basin/linalg/errors.h"
#include "basin/linalg/parallel.h"
#include "basin/linalg/triangular.h"
#include "basin/model/perturbation.h"
#include "basin/single_layer/attention_rounding.h"
#include "basin/single_layer/formed_kernel.h"

namespace basin {
namespace {

Index parameter_count(const AttentionSpec& s, const std::vector<std::string>& blocks) {
  Index total = 0;
  for (const AttentionBlock b : blocks_named(blocks))
    total += b == kO ? s.heads * s.head_dim * s.outputs : s.heads * s.embedding * s.head_dim;
  return total;
}

bool is_output(const std::vector<std::string>& blocks) {
  return blocks_named(blocks) == std::vector{kO};
}

}  // namespace

KernelMinimum output_minimum(const MeasuredFactors& measured) {
  const AttentionSpec& spec = measured.factors.spec;
  return minimum_of("W_O", measured_attention_values(measured, output_factor), spec.heads * spec.head_dim,
                    spec.outputs);
}

std::vector<std::optional<KernelMinimum>> formed_minima(const MeasuredFactors& measured,
                                                        const std::vector<std::vector<std::string>>& sets,
                                                        double tolerance, const Progress& progress) {
  const AttentionFactors& f = measured.factors;
  std::vector<std::optional<KernelMinimum>> minima;
  for (const auto& blocks : sets) {
    minima.emplace_back();
    const Index parameters = parameter_count(f.spec, blocks);
    if (is_output(blocks)) {
      minima.back() = output_minimum(measured);
    } else if (parameters >= f.outputs()) {
      const FormedKernel formed = formed_kernel(measured, blocks);
      const DefiniteEigenvalues ends = definite_eigenvalues(formed.K);
      const double error = formed.error;
      KernelMinimum k = {joined(blocks),
                         "formed kernel",
                         f.outputs(),
                         parameters,
                         -1,
                         std::max(0.0, ends.smallest.value),
                         std::max(0.0, ends.smallest.lower - error),
                         ends.smallest.upper + error,
                         ends.largest.value,
                         std::max(0.0, ends.largest.lower - error),
                         ends.largest.upper + error};
      if (k.positive()) k.rank = k.size;
      if (std::isinf(tolerance) || k.known_to(tolerance)) minima.back() = k;
    }
    report(progress, static_cast<Index>(minima.size()), static_cast<Index>(sets.size()));
  }
  return minima;
}

double formed_minima_bytes(const AttentionSpec& spec, Index samples) {
  // The kernel while it is made; then beside it its factor and a shifted copy.
  const auto m = static_cast<double>(samples * spec.tokens * spec.outputs);
  return measured_factors_bytes(spec, samples) + std::max(formed_kernel_bytes(spec, samples), 8 * 3 * m * m);
}

JacobianCost jacobian_cost(const AttentionSpec& spec, Index samples, const std::vector<std::string>& trained,
                           const std::vector<std::vector<std::string>>& sets, bool fewer_features) {
  AttentionSpec reduced = spec;
  if (fewer_features) reduced.embedding = std::min(spec.embedding, samples * spec.tokens);
  const Index m = samples * spec.tokens * spec.outputs;
  const auto model = build_single_attention<double>(reduced, trained);
  const double rows = static_cast<double>(m), P = static_cast<double>(model->parameters().theta_size());
  return {ntk_bytes(model->parameters(), m, samples),
          2 * rows * rows * P + 30 * rows * rows * rows * static_cast<double>(sets.size())};
}

namespace {

/// The smallest eigenvalue from the inverse of the triangular factor of J; the largest is what is known of it
/// already. Nothing if that does not decide.
std::optional<KernelMinimum> triangular_minimum(const JacobianFactors& factors,
                                                const std::vector<std::string>& set, KernelMinimum known) {
  if (factors.columns(set) < known.size || !std::isfinite(known.largest_upper)) return {};
  const auto found = smallest_singular_value(factors.triangular(set));
  if (!found) return {};
  const double error =
      factorisation_error(std::max(known.size, factors.columns(set)), std::sqrt(known.largest_upper)) +
      factors.rounding(set);
  if (!(found->lower > error)) return {};
  const auto square = [](double x) { return x * x; };
  known.method = "triangular factor of J";
  known.rank = known.size;
  known.lambda_min = square(found->value);
  known.lower = square(found->lower - error);
  known.upper = square(found->upper + error);
  return known;
}

/// jacobian_rounding after the reduction of features, the largest of several perturbed points where J is so
/// small that one may be blind by chance.
std::vector<double> measured_rounding(const Vectors<double>& Jt, const ModelPoint<double>& point,
                                      const FeatureReduction& reduction, const Progress& progress) {
  std::vector<double> largest;
  for (std::uint64_t index = 0; index < perturbations(Jt.size()); ++index) {
    const ModelPoint<double> moved = reduction.apply(point.perturbed(index));
    const std::vector<double> one = jacobian_rounding(Jt, moved.linearize({.keep = false}), progress);
    largest.resize(one.size());
    for (std::size_t b = 0; b < one.size(); ++b)
      largest[b] = std::max(largest[b], reduction.rounding_scale() * one[b]);
  }
  return largest;
}

/// The Jacobian's part of kernel_minima: fills in what is open in `result`.
void minima_from_jacobian(Minima& result, const ModelPoint<double>& point, const AttentionFactors& f,
                          const std::vector<std::vector<std::string>>& sets, const std::vector<bool>& open,
                          bool spectra, double memory, const Progress& progress) {
  const FeatureReduction reduction(point);
  const double bytes =
      jacobian_cost(f.spec, f.data->samples, point.parameters().trained(), sets, reduction.useful()).bytes;
  if (bytes > memory)
    throw WorkError("the D = " + std::to_string(f.spec.embedding) +
                    " features differ so much in scale that fewer do not do: the Jacobian needs " +
                    std::to_string(static_cast<long long>(bytes / 1e6)) +
                    " MB, more than the memory allowed");
  const Linearization<double> at = reduction.apply(point).linearize({.keep = false});
  Vectors<double> Jt = at.jacobian_transposed(progress);
  std::vector<double> rounding = measured_rounding(Jt, point, reduction, progress);
  const std::vector<double> hidden = centring_rounding(f, at.parameters().trained());
  for (std::size_t b = 0; b < rounding.size(); ++b) rounding[b] += hidden[b] + kUnderflowError;
  std::vector<std::vector<std::string>> needed;
  for (std::size_t k = 0; k < sets.size(); ++k)
    if (open[k]) needed.push_back(sets[k]);
  const JacobianFactors factors(Jt, at.parameters(), rounding, needed);
  Jt.resize(0, 0);
  parallel_for(static_cast<Index>(sets.size()), [&](Index k, Index) {
    if (!open[k]) return;
    KernelMinimum& minimum = result.minima[k];
    if (!spectra)
      if (const auto found = triangular_minimum(factors, sets[k], minimum)) {
        minimum = *found;
        return;
      }
    result.spectra[k] = factors.spectrum(sets[k]);
    const Index parameters = minimum.parameters;
    minimum = minimum_of(*result.spectra[k]);
    minimum.parameters = parameters;  // not the reduced problem's
  });
}

}  // namespace

Minima kernel_minima(const ModelPoint<double>& point, const MeasuredFactors& measured,
                     const std::vector<std::vector<std::string>>& sets, const MinimaOptions& options,
                     const Progress& progress) {
  const AttentionFactors& factors = measured.factors;
  const std::vector<std::string> trained = point.parameters().trained();
  const JacobianCost cost = jacobian_cost(factors.spec, factors.data->samples, trained, sets);
  const bool affordable = cost.bytes <= options.memory && cost.operations <= options.operations;
  const bool spectra = options.spectra || (options.use_jacobian && cost.bytes <= options.memory &&
                                           cost.operations <= options.quick);
  Minima result;
  result.spectra.resize(sets.size());
  std::vector<std::optional<KernelMinimum>> formed(sets.size());
  if (options.form && !spectra)
    formed = formed_minima(measured, sets, std::numeric_limits<double>::infinity(), progress);
  else if (!spectra)
    for (std::size_t k = 0; k < sets.size(); ++k)
      if (is_output(sets[k])) formed[k] = output_minimum(measured);
  std::vector<bool> open;
  for (std::size_t k = 0; k < sets.size(); ++k) {
    KernelMinimum unknown;
    unknown.name = joined(sets[k]);
    unknown.method = "none";
    unknown.size = factors.outputs();
    unknown.parameters = parameter_count(factors.spec, sets[k]);
    unknown.upper = unknown.largest_upper = std::numeric_limits<double>::infinity();
    unknown.lambda_min = unknown.lambda_max = std::numeric_limits<double>::quiet_NaN();
    if (unknown.parameters < unknown.size) unknown.upper = unknown.lambda_min = 0;  // singular
    result.minima.push_back(formed[k].value_or(unknown));
    // A kernel of fewer parameters than outputs is singular: no more is computed unless asked for.
    const bool known = formed[k] ? formed[k]->known_to(options.tolerance) || formed[k]->method == "factor A"
                                 : unknown.parameters < unknown.size;
    open.push_back(spectra || !known);
  }
  const bool any_open = std::find(open.begin(), open.end(), true) != open.end();
  if (any_open && !spectra && options.use_jacobian && options.note) {
    std::ostringstream text;
    text << "formed kernels leave some smallest eigenvalues open; the Jacobian takes " << std::setprecision(2)
         << cost.bytes / 1e9 << " GB and " << cost.operations << " operations"
         << (affordable ? "" : ": too much, they stay as they are");
    options.note(text.str());
  }
  if (spectra || (any_open && options.use_jacobian && affordable))
    minima_from_jacobian(result, point, factors, sets, open, spectra, options.memory, progress);
  if (sets.back().size() == trained.size()) {
    result.minima.back().name = "sum";
    if (result.spectra.back()) result.spectra.back()->name = "sum";
  }
  return result;
}

}  // namespace basin
