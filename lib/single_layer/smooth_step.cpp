#include "basin/single_layer/smooth_step.h"

#include <cmath>

#include "basin/linalg/errors.h"
#include "basin/ntk/spectra.h"

namespace basin {

SmoothStep smooth_step(const NormConstants& norms, double S0, double residual, double gradient) {
  const auto beta = [&](double R) {
    const double bound = S0 + jacobian_deviation(norms, R);
    return bound * bound + second_derivative_bound(norms, R) * residual;
  };
  const auto holds = [&](double R) { return R * beta(R) >= gradient; };
  double low = 0, high = S0 * S0 > 0 ? gradient / (S0 * S0) : 1;
  while (!holds(high) && high < HUGE_VAL) low = high, high *= 2;
  // R beta(R) rises: to three digits, on the safe side
  while (high - low > 1e-3 * high) {
    const double middle = low + (high - low) / 2;
    (holds(middle) ? high : low) = middle;
  }
  const double bound = beta(high);
  if (!std::isfinite(bound)) throw WorkError("no step is guaranteed: bounds on the curvature overflow");
  return {high, bound, bound > 0 ? 1 / bound : 0};
}

double jacobian_norm_bound(const AttentionFactors& f, const std::vector<std::string>& blocks) {
  Matrix<double> K = Matrix<double>::Zero(f.outputs(), f.outputs());
  for (const std::string& block : blocks) K += block_kernel(f, block);
  // |K| <= |K^16|_F^(1/16); scaled before each squaring, so that nothing overflows
  double log_norm = 0;
  const double underflow = static_cast<double>(f.outputs()) * kUnderflowError;
  constexpr int kSquarings = 4;
  for (int squaring = 0;; ++squaring) {
    const double scale = K.stableNorm();
    if (scale == 0) return underflow;
    log_norm += std::log(scale) / std::exp2(squaring);
    if (squaring == kSquarings) break;
    K /= scale;
    K = (K * K).eval();
  }
  constexpr double kRounding = 1 + 1e-10;  // of the factors and the squarings
  return std::exp(log_norm / 2) * kRounding + underflow;
}

}  // namespace basin
