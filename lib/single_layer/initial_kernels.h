/// What holds at one initialisation, all of it: what sweeps ask of many.
#pragma once

#include <string>
#include <vector>

#include "basin/single_layer/certificate_input.h"

namespace basin {

struct InitialisationMeasures {
  double loss = 0, gradient_norm = 0;   ///< f, |grad f|
  std::vector<KernelAnalysis> kernels;  ///< of every trained block, in order; last of all together ("sum")
  Certificate certificate;              ///< of the sum, c = 1

  const KernelAnalysis& sum() const { return kernels.back(); }
};

/// Measures the point. trained: its trained blocks in the order in which their kernels are added (default:
/// the model's). Throws InputError for another network than the single layer, WorkError when a number is not
/// finite.
InitialisationMeasures measure_initialisation(const ModelPoint<double>& point,
                                              std::vector<std::string> trained = {});

/// Bytes that takes at its peak.
double initialisation_bytes(const AttentionSpec& spec, Index samples,
                            const std::vector<std::string>& trained);

}  // namespace basin
