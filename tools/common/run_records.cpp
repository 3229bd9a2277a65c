#include "common/run_records.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "hdf5/result_file.h"
#include "model/perturbation.h"
#include "ntk/attention_factors.h"
#include "stationary/saturation.h"

namespace basin::tools {
namespace {

constexpr double kNone = std::numeric_limits<double>::quiet_NaN();
const std::string kCertificate = "certificate/";

void add_progress(Row& row, const Descent& run, const Vector<double>& start, const SinceRecord& since,
                  double infimum) {
  const double slope = run.at.gradient.stableNorm();
  const Index steps = run.step - since.record_step;
  row.add("step", static_cast<double>(run.step));
  row.add("loss", run.at.loss);
  row.add("gradient_norm", slope);
  row.add("step_size", run.step > 0 ? since.last.step : kNone);
  row.add("step_length", run.step > 0 ? since.last.length : kNone);
  row.add("distance", (run.at.theta - start).norm());
  row.add("pl_ratio", slope * slope / (2 * (run.at.loss - infimum)));
  row.add("measured_rate",
          steps > 0 ? std::pow(run.at.loss / since.record_loss, 1 / static_cast<double>(steps)) : kNone);
  row.add("guaranteed_rate", std::isfinite(since.last.loss_bound) && run.step > 0
                                 ? since.last.loss_bound / since.loss_before
                                 : kNone);
}

void add_norms(Row& row, const ParameterLayout& parameters, const Vector<double>& weights) {
  for (const auto& e : parameters.entries())
    row.add("norm_" + e.block.name, weights.segment(e.offset, e.block.size()).norm());
}

void add_saturation(Row& row, const AttentionFactors& factors) {
  SaturationOfRows rows;
  for (const HeadFactors& head : factors.heads) rows.add(head.S);
  const Saturation s = rows.result();
  row.add("mean_entropy", s.mean_entropy);
  row.add("largest_weight", s.largest_weight);
  row.add("attention_range", s.range);
  row.add("smallest_row_sum", s.smallest_sum);
  row.add("largest_row_sum", s.largest_sum);
}

/// lambda_min and, with `certify`, every constant of the ball certificate.
void add_ntk(Row& row, const RecordOptions& options, const Linearization<double>& here,
             const MeasuredFactors& factors, double step) {
  MinimaOptions minima;
  minima.memory = options.memory;
  const KernelMinimum sum =
      kernel_minima(here.point(), factors, {here.parameters().trained()}, minima).minima.back();
  row.add("lambda_min", sum.lambda_min);
  row.add("lambda_min_lower", sum.lower);
  row.add("lambda_min_upper", sum.upper);
  row.add("lambda_max", sum.lambda_max);
  // late: r' = (1 - eta K) r, of which the slowest part stays
  const double kept = 1 - step * sum.lambda_min;
  row.add("predicted_rate", options.one_step && (sum.positive() || sum.upper == 0) ? kept * kept : kNone);
  if (!options.certify) return;

  const CertificateInput input = certificate_input(here, linearize_perturbed(here.point()), sum);
  const Certificate c = ball_certificate(input.norms, input.s0, input.S0, input.r0);
  const std::pair<const char*, double> numbers[] = {
      {"step", row["step"]},
      {"passes", c.passes ? 1.0 : 0.0},
      {"c", c.c},
      {"sigma_min", c.sigma_min},
      {"sigma_max", c.sigma_max},
      {"residual_norm", c.residual_norm},
      {"radius", c.radius},
      {"curvature", c.curvature},
      {"deviation", c.deviation},
      {"s_star", c.s_star},
      {"beta", c.beta},
      {"certified_step", c.step},
      {"rate", c.rate},
      {"path_length", c.path_length},
      {"largest_residual", c.largest_residual},
      {"margin", c.margin},
      {"existence_residual", largest_residual(input.norms, input.s0, 0)},
      {"xi", input.norms.xi},
      {"xi_centred", input.norms.xi_centred},
      {"chi", input.norms.chi},
      {"chi_centred", input.norms.chi_centred},
      {"rho", input.norms.rho}};
  for (const auto& [name, value] : numbers) row.add(kCertificate + name, value);
  const auto bounds = second_derivative_bounds(input.norms, c.radius);
  for (std::size_t h = 0; h < bounds.size(); ++h) {
    const HeadNorms& n = input.norms.heads[h];
    const std::pair<const char*, double> of_head[] = {
        {"W_V_norm", n.W_V},        {"W_O_norm", n.W_O},       {"values", n.values},
        {"outputs", n.outputs},     {"keys", n.keys},          {"queries", n.queries},
        {"query", n.query},         {"mixed", n.mixed},        {"alpha", bounds[h].alpha},
        {"gamma", bounds[h].gamma}, {"delta", bounds[h].delta}};
    for (const auto& [name, value] : of_head)
      row.add(kCertificate + "heads/" + std::to_string(h) + "/" + name, value);
  }
}

std::vector<double> column(const std::vector<std::vector<double>>& rows, std::size_t index) {
  std::vector<double> values;
  for (const auto& row : rows) values.push_back(row[index]);
  return values;
}

}  // namespace

double Row::operator[](const std::string& name) const {
  return values_[static_cast<std::size_t>(std::find(names_.begin(), names_.end(), name) - names_.begin())];
}

Row measure(const RecordOptions& options, const Descent& run, const Linearization<double>& here,
            const Counts& counts, const Vector<double>& start, const SinceRecord& since) {
  const bool kernels = options.ntk || options.certify;
  const MeasuredFactors factors =
      kernels ? measured_factors(here.point()) : MeasuredFactors{attention_factors(here.point()), {}};
  Row row;
  add_progress(row, run, start, since, here.loss_facts().infimum);
  add_norms(row, here.parameters(), here.weights());
  add_saturation(row, factors.factors);
  row.add("losses", static_cast<double>(counts.losses));
  row.add("gradients", static_cast<double>(counts.gradients));
  row.add("products", static_cast<double>(counts.products));
  if (kernels) add_ntk(row, options, here, factors, run.step > 0 ? since.last.step : kNone);
  return row;
}

void write_records(hdf5::Writer& file, const std::vector<std::string>& names,
                   const std::vector<std::vector<double>>& rows) {
  hdf5::make_plot(file, "/entry/run", "loss", {"step"});
  hdf5::curve_scales(file, "/entry/run", "log");
  file.write("/entry/run/title", std::string("loss along the descent"));
  for (std::size_t i = 0; i < names.size(); ++i) {
    const bool certificate = names[i].rfind(kCertificate, 0) == 0;
    const std::string group = certificate ? "/entry/certificate" : "/entry/run",
                      name = certificate ? names[i].substr(kCertificate.size()) : names[i];
    file.write(group + "/" + name, column(rows, i));
    hdf5::name_dimensions(file, group, {name}, {"step"});  // the first of each group
  }
}

}  // namespace basin::tools
