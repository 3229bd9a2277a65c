#include "basin/training/record.h"

#include <cmath>

#include "basin/model/perturbation.h"

namespace basin {
namespace {

void add_progress(DescentRecord& record, const Descent& run, const Vector<double>& start,
                  const SinceRecord& since, double infimum) {
  const double slope = run.at.gradient.stableNorm();
  const Index steps = run.step - since.record_step;
  record.step = run.step;
  record.loss = run.at.loss;
  record.gradient_norm = slope;
  record.step_size = run.step > 0 ? since.last.step : kNaN;
  record.step_length = run.step > 0 ? since.last.length : kNaN;
  record.distance = (run.at.theta - start).norm();
  record.pl_ratio = slope * slope / (2 * (run.at.loss - infimum));
  record.measured_rate =
      steps > 0 ? std::pow(run.at.loss / since.record_loss, 1 / static_cast<double>(steps)) : kNaN;
  record.guaranteed_rate =
      std::isfinite(since.last.loss_bound) && run.step > 0 ? since.last.loss_bound / since.loss_before : kNaN;
}

void add_kernel(DescentRecord& record, const RecordOptions& options, const NetworkTheory& theory,
                const Linearization<double>& here) {
  const KernelMinimum sum = theory.trained_kernel(here, options.memory);
  record.kernel = sum;
  // late: r' = (1 - eta K) r, of which the slowest part stays
  const double kept = 1 - record.step_size * sum.lambda_min;
  record.predicted_rate =
      here.loss_facts().quadratic && options.one_step && (sum.positive() || sum.upper == 0) ? kept * kept
                                                                                            : kNaN;
  if (!options.certify) return;
  const CertificateInput input = certificate_input(here, linearize_perturbed(here.point()), sum);
  const Certificate c = ball_certificate(input);
  record.certified = DescentRecord::Certified{c, input.norms, largest_residual(input.norms, input.s0, 0),
                                              second_derivative_bounds(input.norms, c.radius)};
}

}  // namespace

DescentRecord measure_record(const RecordOptions& options, const NetworkTheory& theory, const Descent& run,
                             const Linearization<double>& here, const Counts& counts,
                             const Vector<double>& start, const SinceRecord& since) {
  DescentRecord record;
  add_progress(record, run, start, since, here.loss_facts().infimum);
  for (const auto& e : here.parameters().entries())
    record.block_norms.push_back(here.weights().segment(e.offset, e.block.size()).norm());
  record.saturation = theory.saturation(here.point());
  record.attention = theory.layer_saturation(here.point());
  record.counts = counts;
  if (options.ntk || options.certify) add_kernel(record, options, theory, here);
  return record;
}

}  // namespace basin
