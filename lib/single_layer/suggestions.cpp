#include "basin/single_layer/suggestions.h"

#include "basin/single_layer/gain_bounds.h"

namespace basin {
namespace {

std::optional<double> suggested_gain(const ModelPoint<double>& point, const KernelMinimum& sum,
                                     const std::string& block, const SuggestionOptions& options) {
  GainBounds bounds(point, sum, block);
  Index tried = 0;
  const auto certify = [&](double gain) {
    if (options.status) options.status("gain of " + block + ", " + std::to_string(tried) + " tried");
    ++tried;
    ModelPoint<double> scaled = point;
    const auto& entry = point.parameters().find(block);
    scaled.weights.segment(entry.offset, entry.block.size()) *= gain;
    return certificate_at(scaled, {.minima = options.minima});
  };
  return passing_gain(certify, options.largest_gain,
                      [&](double low, double high) { return bounds.excludes(low, high); });
}

}  // namespace

Suggestions suggest(const ModelPoint<double>& point, const KernelMinimum& sum, const CertificateInput& input,
                    const Certificate& certificate, const SuggestionOptions& options) {
  constexpr double kBelow = 1 - 1e-9;  // not at the end of what passes, where rounding decides
  Suggestions found;
  found.targets =
      target_scalings(input.F, point.data->Y, certificate.largest_residual * kBelow - input.F_error);
  for (const std::string& block : attention_blocks())
    found.gains.push_back({block, suggested_gain(point, sum, block, options)});
  return found;
}

}  // namespace basin
