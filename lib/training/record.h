/// What is measured along a run of descent (stationary/MATHEMATICS.md, "Rates on record").
#pragma once

#include <optional>
#include <vector>

#include "basin/single_layer/certificate_input.h"
#include "basin/stationary/descent.h"
#include "basin/stationary/network_theory.h"

namespace basin {

struct RecordOptions {
  bool ntk = false;       ///< the smallest eigenvalue of the NTK of the trained blocks
  bool certify = false;   ///< and the ball certificate
  bool one_step = false;  ///< the method steps along -grad f: rates are predicted
  double memory = 0;      ///< bytes for the NTK
};

/// What happened since the last record, and in all.
struct SinceRecord {
  Move last;               ///< the last step
  double loss_before = 0;  ///< before the last step
  Index record_step = 0;   ///< of the last record
  double record_loss = 0;
};

/// NaN where a number does not apply: rates and steps before there was one.
struct DescentRecord {
  Index step = 0;
  double loss = 0, gradient_norm = 0;
  double step_size = 0, step_length = 0;   ///< of the last step
  double distance = 0;                     ///< |theta - start|
  double pl_ratio = 0;                     ///< |g|^2 / (2 (f - inf f)), after Polyak and Lojasiewicz
  double measured_rate = 0;                ///< of f, a step, since the last record
  double guaranteed_rate = 0;              ///< of the last step
  std::vector<double> block_norms;         ///< of all blocks, in the order of the layout
  Saturation saturation;                   ///< of the single attention layer
  std::vector<LayerSaturation> attention;  ///< of any other network
  Counts counts;

  /// With `ntk` or `certify`.
  std::optional<KernelMinimum> kernel;  ///< of the trained blocks
  double predicted_rate = 0;            ///< (1 - eta lambda_min)^2, eta the last step

  struct Certified {
    Certificate certificate;
    NormConstants norms;
    double existence_residual;      ///< largest_residual for c = 0
    std::vector<HeadBound> bounds;  ///< second_derivative_bounds within the radius
  };
  std::optional<Certified> certified;  ///< with `certify`
};

/// At the point of the run, where `here` is too. theory: of the network; counts: what the run has spent;
/// start: theta at step 0. Throws as trained_kernel_minimum and norm_constants where these are asked for:
/// InputError for the certificate of another network than the single layer.
DescentRecord measure_record(const RecordOptions& options, const NetworkTheory& theory, const Descent& run,
                             const Linearization<double>& here, const Counts& counts,
                             const Vector<double>& start, const SinceRecord& since);

}  // namespace basin
