#include "common/ntk/file.h"

#include <algorithm>
#include <cmath>
#include <optional>

#include "basin/hdf5/result_file.h"
#include "common/ntk/certificate_numbers.h"
#include "common/ntk/summary.h"
#include "common/ntk/table.h"

namespace basin::tools {
namespace {

/// What a symmetric error bar must be to hold all from `lower` to `upper`; NaN where they are not known.
double error_bar(double value, double lower, double upper) {
  const double error = std::max(upper - value, value - lower);
  return std::isfinite(error) ? error : std::nan("");
}

void write_spectrum(hdf5::Writer& file, const NtkSpectrum& s) {
  const std::string group = "/entry/ntk_" + s.name;
  std::vector<double> value, lower, upper, error;
  for (Index i = 0; i < s.size(); ++i) {
    value.push_back(s.eigenvalue(i));
    lower.push_back(s.lower(i));
    upper.push_back(s.upper(i));
    error.push_back(error_bar(value.back(), lower.back(), upper.back()));
  }
  hdf5::make_plot(file, group, "eigenvalue", {"index"});
  hdf5::curve_scales(file, group, "log");
  file.write(group + "/eigenvalue", value);
  file.write(group + "/eigenvalue_errors", error);
  file.write(group + "/lower", lower);
  file.write(group + "/upper", upper);
  file.hard_link("/entry/ntk/index", group + "/index");  // one scale for all: see Writer::dimensions
  file.write(group + "/singular_value", s.singular_values);
  file.write(group + "/singular_value_error", s.singular_value_error);
  file.write(group + "/title",
             "NTK eigenvalues, " + (s.name == "sum" ? "sum of the trained blocks" : s.name));
  hdf5::name_dimensions(file, group, {"eigenvalue", "eigenvalue_errors", "lower", "upper", "singular_value"},
                        {"index"});
}

}  // namespace

void write_spectra(hdf5::Writer& file, const std::vector<NtkSpectrum>& spectra) {
  std::vector<double> index(spectra.front().size());
  for (std::size_t i = 0; i < index.size(); ++i) index[i] = static_cast<double>(i + 1);
  hdf5::make_plot(file, "/entry/ntk", spectra.back().name, {"index"});
  hdf5::curve_scales(file, "/entry/ntk", "log");
  file.write("/entry/ntk/index", index);
  std::vector<std::string> others;
  for (const NtkSpectrum& s : spectra) {
    write_spectrum(file, s);
    file.hard_link("/entry/ntk_" + s.name + "/eigenvalue", "/entry/ntk/" + s.name);
    file.hard_link("/entry/ntk_" + s.name + "/eigenvalue_errors", "/entry/ntk/" + s.name + "_errors");
    if (s.name != spectra.back().name) others.push_back(s.name);
  }
  if (!others.empty()) file.attribute("/entry/ntk", "auxiliary_signals", others);
  file.write("/entry/ntk/title", std::string("NTK eigenvalues of the trained blocks and of their sum"));
}

namespace {

std::string text(Role role) {
  return role == Role::necessary ? "necessary" : role == Role::equivalent ? "equivalent" : "sufficient";
}

/// The picture of a table of kernels: the smallest eigenvalue of each, with its error.
void plot_minima(hdf5::Writer& file, const std::string& group, const std::vector<KernelAnalysis>& kernels) {
  std::vector<double> number, value, error, positive;
  std::vector<std::string> names;
  for (const KernelAnalysis& k : kernels) {
    const KernelMinimum& m = k.minimum;
    number.push_back(static_cast<double>(number.size()));
    value.push_back(m.lambda_min);
    error.push_back(error_bar(m.lambda_min, m.lower, m.upper));
    if (m.lambda_min > 0) positive.push_back(m.lambda_min);
    names.push_back(m.name + (m.upper == 0 ? " (singular)" : ""));  // a logarithmic axis leaves it out
  }
  hdf5::make_plot(file, group, "lambda_min", {"kernel"});
  if (hdf5::wants_logarithm(positive)) hdf5::curve_scales(file, group, "log");
  file.write(group + "/kernel", number);
  file.attribute(group + "/kernel", "long_name", hdf5::legend("kernel", names));
  file.write(group + "/lambda_min_errors", error);
  file.write(group + "/title",
             std::string("smallest NTK eigenvalues of the trained blocks and of their sum"));
}

}  // namespace

void write_kernels(hdf5::Writer& file, const std::string& group, const std::vector<KernelAnalysis>& kernels) {
  plot_minima(file, group, kernels);
  Table summary(file, group, true);
  const auto of_minimum = [&](const std::string& name, auto member) {
    summary.column(name, kernels, [&](const KernelAnalysis& k) { return k.minimum.*member; });
  };
  of_minimum("block", &KernelMinimum::name);
  of_minimum("method", &KernelMinimum::method);
  of_minimum("lambda_min", &KernelMinimum::lambda_min);
  of_minimum("lambda_min_lower", &KernelMinimum::lower);
  of_minimum("lambda_min_upper", &KernelMinimum::upper);
  of_minimum("lambda_max", &KernelMinimum::lambda_max);
  of_minimum("lambda_max_lower", &KernelMinimum::largest_lower);
  of_minimum("lambda_max_upper", &KernelMinimum::largest_upper);
  of_minimum("rank", &KernelMinimum::rank);
  of_minimum("size", &KernelMinimum::size);
  of_minimum("parameters", &KernelMinimum::parameters);
  summary.column("condition_number", kernels,
                 [](const KernelAnalysis& k) { return k.minimum.condition_number(); });
  summary.column("verdict", kernels,
                 [](const KernelAnalysis& k) { return to_string(k.minimum.definiteness()); });
  summary.column("definiteness", kernels,
                 [](const KernelAnalysis& k) { return static_cast<Index>(k.minimum.definiteness()); });
  summary.column("positive_definite", kernels,
                 [](const KernelAnalysis& k) { return k.minimum.positive_definite(); });
  summary.column("lambda_min_lower_log10", kernels,
                 [](const KernelAnalysis& k) { return k.minimum.lower_bound().log10; });
  summary.column("rounding", kernels, [](const KernelAnalysis& k) { return k.minimum.rounding(); });
  summary.column("proven_lower_bound", kernels,
                 [](const KernelAnalysis& k) { return k.conditions.lower_bound().value; });
  summary.column("proven_lower_bound_log10", kernels,
                 [](const KernelAnalysis& k) { return k.conditions.lower_bound().log10; });
  summary.column("proven_upper_bound", kernels,
                 [](const KernelAnalysis& k) { return k.conditions.upper_bound; });
  summary.column("by_conditions", kernels,
                 [](const KernelAnalysis& k) { return k.minimum.proven_by_conditions; });
  summary.column("reason", kernels, [](const KernelAnalysis& k) { return reason(k); });
  hdf5::name_dimensions(file, group, summary.columns(), {"block"});
  hdf5::name_dimensions(file, group, {"kernel", "lambda_min_errors"}, {"block"});
}

void write_conditions(hdf5::Writer& file, const std::vector<KernelAnalysis>& kernels,
                      const std::string& beginning) {
  struct Row {
    const KernelAnalysis* kernel;
    const Condition* condition;
    const LowerBound* bound;
  };
  std::vector<Row> conditions, bounds;
  for (const KernelAnalysis& k : kernels) {
    for (const Condition& c : k.conditions.conditions) conditions.push_back({&k, &c, nullptr});
    for (const LowerBound& b : k.conditions.bounds) bounds.push_back({&k, nullptr, &b});
  }
  Table table(file, beginning + "conditions");
  table.column("block", conditions, [](const Row& r) { return r.kernel->minimum.name; });
  table.column("name", conditions, [](const Row& r) { return r.condition->name; });
  table.column("statement", conditions, [](const Row& r) { return r.condition->statement; });
  table.column("role", conditions, [](const Row& r) { return text(r.condition->role); });
  table.column("measured", conditions, [](const Row& r) { return r.condition->measured; });
  table.column("threshold", conditions, [](const Row& r) { return r.condition->threshold; });
  table.column("exact", conditions, [](const Row& r) { return r.condition->exact; });
  table.column("holds", conditions, [](const Row& r) { return r.condition->holds(); });
  table.column("remedy", conditions, [](const Row& r) { return r.condition->remedy; });
  Table lower(file, beginning + "bounds");
  lower.column("block", bounds, [](const Row& r) { return r.kernel->minimum.name; });
  lower.column("name", bounds, [](const Row& r) { return r.bound->name; });
  lower.column("formula", bounds, [](const Row& r) { return r.bound->formula; });
  lower.column("value", bounds, [](const Row& r) { return r.bound->bound.value; });
  lower.column("value_log10", bounds, [](const Row& r) { return r.bound->bound.log10; });
  lower.column("share_of_lambda_min", bounds, [](const Row& r) {
    const KernelMinimum& k = r.kernel->minimum;
    return k.lower > 0 ? r.bound->bound.value / k.lambda_min : 0.0;
  });
}

void write_ranks(hdf5::Writer& file, const InputRanks& ranks) {
  file.group("/entry/inputs", "NXcollection");
  file.write("/entry/inputs/rank_X", static_cast<std::int64_t>(ranks.plain));
  file.write("/entry/inputs/rank_centred", static_cast<std::int64_t>(ranks.centred));
  file.write("/entry/inputs/rank_constant", static_cast<std::int64_t>(ranks.constant()));
}

void write_certificate(hdf5::Writer& file, const CertificateInput& input, const Certificate& c) {
  const std::string group = "/entry/certificate/";
  file.group("/entry/certificate", "NXcollection");
  file.write_bytes(group + "passes", {static_cast<std::uint8_t>(c.passes ? 1 : 0)}, {});
  for (const auto& [name, value] :
       certificate_numbers(c, input.norms, largest_residual(input.norms, input.s0, 0)))
    file.write(group + name, value);
  const std::vector<HeadBound> bounds = second_derivative_bounds(input.norms, c.radius);
  std::vector<NamedNumbers> heads;
  for (std::size_t h = 0; h < bounds.size(); ++h)
    heads.push_back(head_numbers(input.norms.heads[h], bounds[h]));
  for (std::size_t i = 0; i < heads.front().size(); ++i) {
    std::vector<double> values;
    for (const NamedNumbers& head : heads) values.push_back(head[i].second);
    file.write(group + heads.front()[i].first, values);
  }
}

void write_suggestions(hdf5::Writer& file, const Suggestions& suggestions) {
  const auto& targets = suggestions.targets;
  file.write("/entry/certificate/target_scaling",
             targets ? std::vector<double>{targets->low, targets->high} : std::vector<double>{kNaN, kNaN});
  std::vector<std::string> blocks;
  std::vector<double> gains;
  for (const Suggestions::Gain& g : suggestions.gains)
    blocks.push_back(g.block), gains.push_back(g.gain.value_or(kNaN));
  file.write("/entry/certificate/gain_block", blocks, {static_cast<Index>(blocks.size())});
  file.write("/entry/certificate/gain", gains);
}

void write_products(hdf5::Writer& file, const MatrixFreeMinimum& found) {
  file.group("/entry/matrix_free", "NXcollection");
  file.write("/entry/matrix_free/residual", found.residual);
  file.write("/entry/matrix_free/products", static_cast<std::int64_t>(found.products));
  file.write_bytes("/entry/matrix_free/converged", {static_cast<std::uint8_t>(found.converged ? 1 : 0)}, {});
}

}  // namespace basin::tools
